// Copies and memset. They are deferred, also from pageable memory, of which the driver may but need not take its copy at the
// call. A copy to pageable memory is waited for.
#include "calls.h"
#include "device.h"
#include "memory.h"
#include "settings.h"
#include "streams.h"

#include <cstring>

namespace fake {

namespace {

// CUDA_MEMCPY2D_st.
struct Copy2D {
    std::size_t source_x_bytes, source_y;
    int source_type;
    const void *source_host;
    char *source_device;
    void *source_array;
    std::size_t source_pitch;
    std::size_t target_x_bytes, target_y;
    int target_type;
    void *target_host;
    char *target_device;
    void *target_array;
    std::size_t target_pitch;
    std::size_t width_bytes, height;
};

constexpr int DEVICE_MEMORY = 2;

void refuse_overlap(const char *function, const char *target, const char *source, std::size_t bytes) {
    if (target < source + bytes && source < target + bytes) {
        die("%s: source and target overlap", function);
    }
}

// The checks of all copies.
int target_error(const Stream *stream, const void *device_memory, std::size_t bytes) {
    if (const int error = stream_error(stream)) {
        return error;
    }
    return bytes == 0 || on_device(device_memory, bytes, stream->device) ? SUCCESS : CUDA_INVALID_VALUE;
}

} // namespace

} // namespace fake

using namespace fake;

API int cuMemcpyHtoDAsync_v2(char *target, const char *source, std::size_t bytes, Stream *stream) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = target_error(stream, target, bytes)) {
            return error;
        }
        if (host_place(source, bytes) == Place::Invalid) {
            return CUDA_INVALID_VALUE;
        }
        if (bytes == 0) {
            return SUCCESS;
        }
        enqueue(stream, [=] { std::memcpy(target, source, bytes); });
        return SUCCESS;
    });
}

API int cuMemcpyDtoHAsync_v2(char *target, const char *source, std::size_t bytes, Stream *stream) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = target_error(stream, source, bytes)) {
            return error;
        }
        const Place place = host_place(target, bytes);
        if (place == Place::Invalid) {
            return CUDA_INVALID_VALUE;
        }
        if (bytes == 0) {
            return SUCCESS;
        }
        enqueue(stream, [=] { std::memcpy(target, source, bytes); });
        if (place == Place::Pageable) {
            complete(stream);
        }
        return SUCCESS;
    });
}

API int cuMemcpyDtoDAsync_v2(char *target, const char *source, std::size_t bytes, Stream *stream) {
    const char *function = __func__;
    return call_in_context(function, CUDA_UNKNOWN, [&] {
        if (const int error = target_error(stream, target, bytes)) {
            return error;
        }
        if (const int error = target_error(stream, source, bytes)) {
            return error;
        }
        if (bytes == 0) {
            return SUCCESS;
        }
        refuse_overlap(function, target, source, bytes);
        enqueue(stream, [=] { std::memcpy(target, source, bytes); });
        return SUCCESS;
    });
}

API int cuMemcpy2DAsync_v2(const Copy2D *parameters, Stream *stream) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        const Copy2D copy = *parameters;
        if (const int error = stream_error(stream)) {
            return error;
        }
        if (copy.source_type != DEVICE_MEMORY || copy.target_type != DEVICE_MEMORY) {
            return CUDA_NOT_SUPPORTED;
        }
        if (copy.width_bytes == 0 || copy.height == 0) {
            return SUCCESS;
        }
        if (copy.source_x_bytes + copy.width_bytes > copy.source_pitch ||
            copy.target_x_bytes + copy.width_bytes > copy.target_pitch) {
            return CUDA_INVALID_VALUE;
        }
        const char *source = copy.source_device + copy.source_y * copy.source_pitch + copy.source_x_bytes;
        char *target = copy.target_device + copy.target_y * copy.target_pitch + copy.target_x_bytes;
        const std::size_t source_bytes = (copy.height - 1) * copy.source_pitch + copy.width_bytes;
        const std::size_t target_bytes = (copy.height - 1) * copy.target_pitch + copy.width_bytes;
        if (!on_device(source, source_bytes, stream->device) || !on_device(target, target_bytes, stream->device)) {
            return CUDA_INVALID_VALUE;
        }
        enqueue(stream, [=] {
            for (std::size_t row = 0; row < copy.height; row++) {
                // Halves of one allocation may be interleaved; a row that overlaps itself is no copy.
                std::memmove(target + row * copy.target_pitch, source + row * copy.source_pitch, copy.width_bytes);
            }
        });
        return SUCCESS;
    });
}

API int cuMemsetD8Async(char *target, unsigned char value, std::size_t bytes, Stream *stream) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = target_error(stream, target, bytes)) {
            return error;
        }
        if (bytes > 0) {
            enqueue(stream, [=] { std::memset(target, value, bytes); });
        }
        return SUCCESS;
    });
}
