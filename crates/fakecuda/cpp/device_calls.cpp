// The functions for initialization, devices and contexts, and the names of errors.
#include "calls.h"
#include "device.h"
#include "settings.h"
#include "streams.h"

#include <cstdio>
#include <map>

namespace fake {

namespace {

// A call that needs only cuInit.
template <typename Body> int call_initialized(const char *function, Body body) {
    return call(function, CUDA_UNKNOWN, [&] { return is_initialized() ? body() : CUDA_NOT_INITIALIZED; });
}

const std::map<int, std::pair<const char *, const char *>> &errors() {
    static const auto &errors = *new std::map<int, std::pair<const char *, const char *>>{
        {SUCCESS, {"CUDA_SUCCESS", "no error"}},
        {CUDA_INVALID_VALUE, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
        {CUDA_OUT_OF_MEMORY, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
        {CUDA_NOT_INITIALIZED, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
        {CUDA_NO_DEVICE, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
        {CUDA_INVALID_DEVICE, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
        {CUDA_INVALID_IMAGE, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
        {CUDA_INVALID_CONTEXT, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
        {CUDA_NO_BINARY_FOR_GPU,
         {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"}},
        {CUDA_INVALID_HANDLE, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
        {CUDA_NOT_FOUND, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
        {CUDA_NOT_READY, {"CUDA_ERROR_NOT_READY", "device not ready"}},
        {CUDA_CONTEXT_IS_DESTROYED, {"CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"}},
        {CUDA_NOT_SUPPORTED, {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"}},
        {CUDA_UNKNOWN, {"CUDA_ERROR_UNKNOWN", "unknown error"}},
    };
    return errors;
}

} // namespace

} // namespace fake

using namespace fake;

API int cuInit(unsigned flags) {
    return call(__func__, CUDA_UNKNOWN, [&] {
        if (flags != 0) {
            return CUDA_INVALID_VALUE;
        }
        if (device_count() == 0) {
            return CUDA_NO_DEVICE;
        }
        initialize();
        return SUCCESS;
    });
}

API int cuDriverGetVersion(int *version) {
    return call(__func__, CUDA_UNKNOWN, [&] {
        *version = 13040;
        return SUCCESS;
    });
}

API int cuDeviceGetCount(int *number) {
    return call_initialized(__func__, [&] {
        *number = device_count();
        return SUCCESS;
    });
}

API int cuDeviceGet(int *device, int ordinal) {
    return call_initialized(__func__, [&] {
        if (!is_device(ordinal)) {
            return CUDA_INVALID_DEVICE;
        }
        *device = ordinal;
        return SUCCESS;
    });
}

API int cuDeviceGetName(char *name, int length, int device) {
    return call_initialized(__func__, [&] {
        if (!is_device(device)) {
            return CUDA_INVALID_DEVICE;
        }
        std::snprintf(name, std::size_t(length), "Emulated CUDA device %d", device);
        return SUCCESS;
    });
}

API int cuDeviceGetAttribute(int *value, int attribute, int device) {
    return call_initialized(__func__, [&] {
        static const std::map<int, int> &values = *new std::map<int, int>{
            {1, 1024},                     // threads per block
            {16, 4},                       // multiprocessors
            {75, COMPUTE_CAPABILITY / 10}, // major
            {76, COMPUTE_CAPABILITY % 10}, // minor
            {87, int(setting("FAKECUDA_DOUBLE_RATIO", 64))},
            {115, 0},                      // memory pools
        };
        if (!is_device(device)) {
            return CUDA_INVALID_DEVICE;
        }
        const auto known = values.find(attribute);
        if (known == values.end()) {
            return CUDA_NOT_SUPPORTED;
        }
        *value = known->second;
        return SUCCESS;
    });
}

API int cuDevicePrimaryCtxRetain(Context **context, int device) {
    return call_initialized(__func__, [&] {
        if (!is_device(device)) {
            return CUDA_INVALID_DEVICE;
        }
        primary_context(device).retained++;
        *context = &primary_context(device);
        return SUCCESS;
    });
}

API int cuDevicePrimaryCtxRelease_v2(int device) {
    return release(__func__, CUDA_UNKNOWN, [&] {
        if (!is_device(device)) {
            return CUDA_INVALID_DEVICE;
        }
        Context &context = primary_context(device);
        if (context.retained == 0) {
            return CUDA_INVALID_CONTEXT;
        }
        if (context.retained == 1) {
            complete_device(device);
        }
        context.retained--;
        return SUCCESS;
    });
}

API int cuCtxSetCurrent(Context *context) {
    return call_initialized(__func__, [&] {
        if (context != nullptr && (!is_context(context) || context->retained == 0)) {
            return CUDA_INVALID_CONTEXT;
        }
        set_current_context(context);
        return SUCCESS;
    });
}

API int cuCtxGetCurrent(Context **context) {
    return call_initialized(__func__, [&] {
        *context = current_context();
        return SUCCESS;
    });
}

API int cuCtxSynchronize() {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        complete_device(current_device());
        return SUCCESS;
    });
}

API int cuGetErrorName(int error, const char **name) {
    const auto known = errors().find(error);
    *name = known == errors().end() ? nullptr : known->second.first;
    return known == errors().end() ? CUDA_INVALID_VALUE : SUCCESS;
}

API int cuGetErrorString(int error, const char **text) {
    const auto known = errors().find(error);
    *text = known == errors().end() ? nullptr : known->second.second;
    return known == errors().end() ? CUDA_INVALID_VALUE : SUCCESS;
}
