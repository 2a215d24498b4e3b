#include "settings.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace fake {

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
        die("%s=%s is not a number", name, text.c_str());
    }
    return std::strtoull(text.c_str(), nullptr, 10);
}

} // namespace fake
