// What every function of the API passes through: the lock, the count, the call that is made to fail, the schedule.
#pragma once

#include "status.h"

#include <cstddef>
#include <mutex>
#include <string>

#define API extern "C" __attribute__((visibility("default")))

namespace fake {

// One lock for everything: the fake proves logic, and an operation that runs alone is easier to reason about.
std::mutex &everything();

// Counts a call. True if it is the one that FAKECUDA_FAIL names.
bool count(const char *function);

// The error of a call that needs a current context on this thread, or SUCCESS.
int context_error();

// Runs some pending operations, if the schedule is random.
void run_some();

// For what CUDA would answer with corrupted memory or a hang.
[[noreturn]] __attribute__((format(printf, 1, 2))) void die(const char *format, ...);

// The value of an environment variable, or `otherwise`. Dies of anything that is no number.
std::size_t setting(const char *name, std::size_t otherwise);
// The number that is part of the setting of that name.
std::size_t parse_number(const char *name, const std::string &text);
std::string text_setting(const char *name);

// A call. `failure` is what it returns, undone, when it is made to fail.
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

// A call that gives something back. It does so even when it is made to fail: what leaks then is the caller's fault.
template <typename Body> int release(const char *function, int failure, Body body) {
    std::lock_guard<std::mutex> guard(everything());
    const bool fails = count(function);
    run_some();
    const int status = body();
    return fails ? failure : status;
}

} // namespace fake
