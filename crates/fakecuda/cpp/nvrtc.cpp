// "Compiling" checks options and includes, and keeps the text. Only NVIDIA's compiler can tell whether the text is valid.
#include "calls.h"
#include "handles.h"
#include "libraries.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace fake {

namespace {

struct Program {
    std::string source;
    std::vector<std::string> header_names;
    std::string log, cubin, ptx;
    bool compiled;
};

constexpr int ARCHITECTURES[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
// Options without effect here.
const char *const ACCEPTED[] = {"--std=c++17",       "-std=c++17", "--fmad=false",        "-fmad=false",
                                "--device-as-default-execution-space", "-default-device", "--generate-line-info",
                                "-lineinfo"};

Handles<Program> &programs() {
    static Handles<Program> &programs = *new Handles<Program>;
    return programs;
}

bool starts_with(const std::string &text, const char *start) { return text.rfind(start, 0) == 0; }

// The number of an architecture's name, or 0 if it is not supported.
int architecture_of(const std::string &name) {
    for (const int number : ARCHITECTURES) {
        if (name == "sm_" + std::to_string(number) || name == "compute_" + std::to_string(number)) {
            return number;
        }
    }
    return 0;
}

// The first quoted include that names no header, or nothing.
std::string missing_include(const Program &program) {
    const std::string directive = "#include \"";
    for (std::size_t at = program.source.find(directive); at != std::string::npos;
         at = program.source.find(directive, at + 1)) {
        const std::size_t start = at + directive.size();
        const std::string name = program.source.substr(start, program.source.find('"', start) - start);
        if (std::find(program.header_names.begin(), program.header_names.end(), name) == program.header_names.end()) {
            return name;
        }
    }
    return "";
}

int compile(Program &program, const std::vector<std::string> &options) {
    int architecture = 75; // NVRTC's own default is its oldest
    bool machine_code = false;
    for (const std::string &option : options) {
        if (starts_with(option, "--gpu-architecture=") || starts_with(option, "-arch=")) {
            const std::string name = option.substr(option.find('=') + 1);
            architecture = architecture_of(name);
            machine_code = starts_with(name, "sm_");
            if (architecture == 0) {
                program.log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
                return NVRTC_INVALID_OPTION;
            }
        } else if (option == "--use_fast_math" || option == "-use_fast_math") {
            program.log = "nvrtc: error: fast-math is not emulated\n";
            return NVRTC_INVALID_OPTION;
        } else if (std::find(std::begin(ACCEPTED), std::end(ACCEPTED), option) == std::end(ACCEPTED)) {
            program.log = "nvrtc: error: unrecognized option " + option + " found\n";
            return NVRTC_INVALID_OPTION;
        }
    }
    const std::string missing = missing_include(program);
    if (!missing.empty()) {
        program.log = "error: could not open source file \"" + missing + "\"\n";
        return NVRTC_COMPILATION;
    }
    program.ptx = PTX_MAGIC + std::to_string(architecture) + "\n" + program.source;
    program.cubin = machine_code ? CUBIN_MAGIC + std::to_string(architecture) + "\n" + program.source : "";
    program.compiled = true;
    return SUCCESS;
}

// One of the texts that a program has, and its size with the terminating zero.
template <typename Use> int with_program(const char *function, const Program *program, bool compiled, Use use) {
    return call(function, NVRTC_COMPILATION, [&] {
        if (!programs().has(program) || (compiled && !program->compiled)) {
            return NVRTC_INVALID_PROGRAM;
        }
        use(*program);
        return SUCCESS;
    });
}

std::size_t size_of(const std::string &text) { return text.empty() ? 0 : text.size() + 1; }

void copy_text(char *target, const std::string &text) { std::memcpy(target, text.c_str(), size_of(text)); }

} // namespace

std::size_t live_programs() { return programs().size(); }

} // namespace fake

using namespace fake;

API int nvrtcVersion(int *major, int *minor) {
    return call(__func__, NVRTC_COMPILATION, [&] {
        *major = 13;
        *minor = 4;
        return SUCCESS;
    });
}

API int nvrtcGetNumSupportedArchs(int *number) {
    return call(__func__, NVRTC_COMPILATION, [&] {
        *number = int(std::size(ARCHITECTURES));
        return SUCCESS;
    });
}

API int nvrtcGetSupportedArchs(int *architectures) {
    return call(__func__, NVRTC_COMPILATION, [&] {
        std::copy(std::begin(ARCHITECTURES), std::end(ARCHITECTURES), architectures);
        return SUCCESS;
    });
}

API int nvrtcCreateProgram(Program **program, const char *source, const char *, int headers, const char *const *,
                           const char *const *names) {
    return call(__func__, NVRTC_COMPILATION, [&] {
        if (source == nullptr || headers < 0) {
            return NVRTC_INVALID_INPUT;
        }
        *program = programs().add({source, {names, names + headers}, "", "", "", false});
        return SUCCESS;
    });
}

API int nvrtcCompileProgram(Program *program, int number, const char *const *options) {
    return call(__func__, NVRTC_COMPILATION, [&] {
        return programs().has(program) ? compile(*program, {options, options + number}) : NVRTC_INVALID_PROGRAM;
    });
}

// The log always has at least its terminating zero.
API int nvrtcGetProgramLogSize(Program *program, std::size_t *bytes) {
    return with_program(__func__, program, false, [&](const Program &of) { *bytes = of.log.size() + 1; });
}

API int nvrtcGetProgramLog(Program *program, char *log) {
    return with_program(__func__, program, false,
                        [&](const Program &of) { std::memcpy(log, of.log.c_str(), of.log.size() + 1); });
}

API int nvrtcGetPTXSize(Program *program, std::size_t *bytes) {
    return with_program(__func__, program, true, [&](const Program &of) { *bytes = size_of(of.ptx); });
}

API int nvrtcGetPTX(Program *program, char *ptx) {
    return with_program(__func__, program, true, [&](const Program &of) { copy_text(ptx, of.ptx); });
}

// 0 for a virtual architecture, as in NVRTC.
API int nvrtcGetCUBINSize(Program *program, std::size_t *bytes) {
    return with_program(__func__, program, true, [&](const Program &of) { *bytes = size_of(of.cubin); });
}

API int nvrtcGetCUBIN(Program *program, char *cubin) {
    return with_program(__func__, program, true, [&](const Program &of) { copy_text(cubin, of.cubin); });
}

API int nvrtcDestroyProgram(Program **program) {
    return release(__func__, NVRTC_COMPILATION, [&] {
        if (program == nullptr || !programs().remove(*program)) {
            return NVRTC_INVALID_PROGRAM;
        }
        *program = nullptr;
        return SUCCESS;
    });
}

API const char *nvrtcGetErrorString(int error) {
    switch (error) {
    case SUCCESS:
        return "NVRTC_SUCCESS";
    case NVRTC_INVALID_INPUT:
        return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_INVALID_PROGRAM:
        return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_INVALID_OPTION:
        return "NVRTC_ERROR_INVALID_OPTION";
    case NVRTC_COMPILATION:
        return "NVRTC_ERROR_COMPILATION";
    default:
        return "NVRTC_ERROR unknown";
    }
}
