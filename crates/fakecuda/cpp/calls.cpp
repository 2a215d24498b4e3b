// Counting calls, making one fail, and the report at the end of the process.
#include "calls.h"

#include "device.h"
#include "libraries.h"
#include "memory.h"
#include "streams.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace fake {

namespace {

struct Calls {
    std::size_t total = 0;
    std::map<std::string, std::size_t> by_function;
    std::string failed;
};

// Never destroyed: other threads may still call while the process exits.
Calls &calls() {
    static Calls &calls = *new Calls;
    return calls;
}

std::string report() {
    std::string text = "{\n  \"calls\": " + std::to_string(calls().total) + ",\n  \"by_function\": {";
    const char *separator = "";
    for (const auto &[function, times] : calls().by_function) {
        text += separator + ("\n    \"" + function + "\": " + std::to_string(times));
        separator = ",";
    }
    text += "\n  },\n  \"peak_bytes\": [";
    separator = "";
    for (const std::size_t bytes : peak_bytes()) {
        text += separator + std::to_string(bytes);
        separator = ", ";
    }
    text += "],\n  \"leaks\": {";
    const std::pair<const char *, std::size_t> leaks[] = {
        {"device_allocations", live_allocations(false)},
        {"host_allocations", live_allocations(true)},
        {"streams", live_streams()},
        {"events", live_events()},
        {"modules", live_modules()},
        {"contexts_retained", contexts_retained()},
        {"blas", live_blas()},
        {"solvers", live_solvers()},
        {"params", live_params()},
        {"programs", live_programs()},
    };
    separator = "";
    for (const auto &[kind, number] : leaks) {
        text += separator + ("\n    \"" + std::string(kind) + "\": " + std::to_string(number));
        separator = ",";
    }
    text += "\n  },\n  \"pending\": " + std::to_string(pending_operations());
    text += ",\n  \"failed\": " + (calls().failed.empty() ? "null" : "\"" + calls().failed + "\"");
    text += ",\n  \"max_concurrent_streams\": " + std::to_string(most_concurrent_streams()) + "\n}\n";
    return text;
}

__attribute__((destructor)) void write_report() {
    const std::string path = text_setting("FAKECUDA_REPORT");
    if (path.empty()) {
        return;
    }
    std::lock_guard<std::mutex> guard(everything());
    std::FILE *file = std::fopen(path.c_str(), "w");
    if (file == nullptr || std::fputs(report().c_str(), file) < 0 || std::fclose(file) != 0) {
        std::fprintf(stderr, "fakecuda: %s cannot be written\n", path.c_str());
    }
}

} // namespace

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

void die(const char *format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::fputs("fakecuda: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputs("\n", stderr);
    va_end(arguments);
    std::abort();
}

std::string text_setting(const char *name) {
    const char *value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::size_t setting(const char *name, std::size_t otherwise) {
    const std::string text = text_setting(name);
    return text.empty() ? otherwise : parse_number(name, text);
}

std::size_t parse_number(const char *name, const std::string &text) {
    if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos || text.size() > 19) {
        die("%s=%s is no number", name, text.c_str());
    }
    return std::strtoull(text.c_str(), nullptr, 10);
}

} // namespace fake
