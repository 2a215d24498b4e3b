// What every function of the API passes through: the lock, the count, the call that is made to fail, the schedule.
#pragma once

#include "device.h"
#include "status.h"
#include "streams.h"

#include <cstddef>
#include <map>
#include <mutex>
#include <string>

#define API extern "C" __attribute__((visibility("default")))

namespace fake {

// One lock for everything: the fake proves logic, and an operation that runs alone is easier to reason about.
std::mutex &everything();

struct Calls {
    std::size_t total = 0;
    std::map<std::string, std::size_t> by_function;
    std::string failed; // the function that was made to fail; empty if none was
};

// All calls so far.
Calls &calls();

// Counts a call. True if it is the one that FAKECUDA_FAIL names.
bool count(const char *function);

// A call. If it is made to fail, it returns `failure` and does nothing.
template <typename Body> int call(const char *function, int failure, Body body) {
    std::lock_guard<std::mutex> guard(everything());
    if (count(function)) {
        return failure;
    }
    run_some();
    return body();
}

// A call that needs a current context.
template <typename Body> int call_in_context(const char *function, int failure, Body body) {
    return call(function, failure, [&] {
        const int error = context_error();
        return error != SUCCESS ? error : body();
    });
}

// A call that frees something. It does so even if it is made to fail: what leaks then is the caller's fault.
template <typename Body> int release(const char *function, int failure, Body body) {
    std::lock_guard<std::mutex> guard(everything());
    const bool fails = count(function);
    run_some();
    const int status = body();
    return fails ? failure : status;
}

} // namespace fake
