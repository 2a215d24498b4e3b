// The environment variables that configure the fake, and the end of a process that misuses it.
#pragma once

#include <cstddef>
#include <string>

namespace fake {

// Ends the process. For what would corrupt memory or hang on a GPU.
[[noreturn]] __attribute__((format(printf, 1, 2))) void die(const char *format, ...);

// The value of an environment variable, or `otherwise`. Dies if it is not a number.
std::size_t setting(const char *name, std::size_t otherwise);
// The number that is part of the setting of that name.
std::size_t parse_number(const char *name, const std::string &text);
std::string text_setting(const char *name);

} // namespace fake
