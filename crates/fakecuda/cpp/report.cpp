// The report at the end of the process.
#include "calls.h"
#include "device.h"
#include "libraries.h"
#include "memory.h"
#include "settings.h"
#include "streams.h"

#include <cstdio>

namespace fake {

namespace {

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

} // namespace fake
