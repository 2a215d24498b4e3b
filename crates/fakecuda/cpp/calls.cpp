// Counting calls, and making one fail.
#include "calls.h"

#include "settings.h"

namespace fake {

// Never destroyed: other threads may still call while the process exits.
Calls &calls() {
    static Calls &calls = *new Calls;
    return calls;
}

std::mutex &everything() {
    static std::mutex &mutex = *new std::mutex;
    return mutex;
}

bool count(const char *function) {
    static const std::size_t failing = setting("FAKECUDA_FAIL", 0);
    calls().total++;
    calls().by_function[function]++;
    if (calls().total != failing) {
        return false;
    }
    calls().failed = function;
    return true;
}

} // namespace fake
