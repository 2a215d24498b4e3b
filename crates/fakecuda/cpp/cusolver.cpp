// cuSOLVER: the version, handles and parameters.
#include "cusolver.h"

#include "calls.h"
#include "device.h"
#include "handles.h"
#include "libraries.h"
#include "memory.h"
#include "settings.h"

namespace fake {

namespace {

constexpr int SYEVBATCHED = 2, SYEVD = 4; // functions with options
constexpr int ALG_0 = 0, ALG_2 = 2;
// The first with a two-stage syevd.
constexpr int TWO_STAGE_VERSION = 12304;

Handles<Solver> &handles() {
    static Handles<Solver> &handles = *new Handles<Solver>;
    return handles;
}

Handles<Params> &parameters() {
    static Handles<Params> &parameters = *new Handles<Params>;
    return parameters;
}

} // namespace

int solver_error(const Solver *solver) {
    if (!handles().has(solver) || solver->device != current_device()) {
        return SOLVER_NOT_INITIALIZED;
    }
    if (solver->stream == nullptr) {
        return SOLVER_NOT_SUPPORTED;
    }
    return stream_error(solver->stream) == SUCCESS ? SUCCESS : SOLVER_INVALID_VALUE;
}

bool is_params(const Params *params) { return parameters().has(params); }

int solver_version() { return int(setting("FAKECUDA_CUSOLVER_VERSION", FAKECUDA_SOLVER_VERSION)); }

bool is_made_to_fail() {
    static const std::size_t failing = setting("FAKECUDA_SOLVER_INFO", 0);
    static std::size_t executions = 0;
    return ++executions == failing;
}

std::size_t live_solvers() { return handles().size(); }
std::size_t live_params() { return parameters().size(); }

} // namespace fake

using namespace fake;

API int cusolverGetVersion(int *version) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        *version = solver_version();
        return SUCCESS;
    });
}

API int cusolverDnCreate(Solver **solver) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        if (context_error() != SUCCESS) {
            return SOLVER_NOT_INITIALIZED;
        }
        if (free_bytes() < HANDLE_BYTES) {
            return SOLVER_INTERNAL_ERROR;
        }
        *solver = handles().add({current_device(), nullptr});
        return SUCCESS;
    });
}

API int cusolverDnDestroy(Solver *solver) {
    return release(__func__, SOLVER_INTERNAL_ERROR,
                   [&] { return handles().remove(solver) ? SUCCESS : SOLVER_NOT_INITIALIZED; });
}

API int cusolverDnSetStream(Solver *solver, Stream *stream) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        if (!handles().has(solver)) {
            return SOLVER_NOT_INITIALIZED;
        }
        if (stream == nullptr) {
            return SOLVER_NOT_SUPPORTED;
        }
        if (stream_error(stream) != SUCCESS) {
            return SOLVER_INVALID_VALUE;
        }
        solver->stream = stream;
        return SUCCESS;
    });
}

// Everything here is deterministic.
API int cusolverDnSetDeterministicMode(Solver *solver, int mode) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        if (!handles().has(solver)) {
            return SOLVER_NOT_INITIALIZED;
        }
        return mode == 1 || mode == 2 ? SUCCESS : SOLVER_INVALID_VALUE;
    });
}

API int cusolverDnCreateParams(Params **params) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        *params = parameters().add({false});
        return SUCCESS;
    });
}

API int cusolverDnDestroyParams(Params *params) {
    return release(__func__, SOLVER_INTERNAL_ERROR,
                   [&] { return parameters().remove(params) ? SUCCESS : SOLVER_NOT_INITIALIZED; });
}

API int cusolverDnSetAdvOptions(Params *params, int function, int algorithm) {
    return call(__func__, SOLVER_INTERNAL_ERROR, [&] {
        if (!is_params(params)) {
            return SOLVER_INVALID_VALUE;
        }
        if ((function == SYEVD || function == SYEVBATCHED) && algorithm == ALG_0) {
            params->two_stage = params->two_stage && function != SYEVD;
            return SUCCESS;
        }
        if (function != SYEVD || algorithm != ALG_2 || solver_version() < TWO_STAGE_VERSION) {
            return SOLVER_NOT_SUPPORTED;
        }
        params->two_stage = true;
        return SUCCESS;
    });
}
