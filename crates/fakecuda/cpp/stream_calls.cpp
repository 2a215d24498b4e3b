// The functions for streams and events.
#include "calls.h"
#include "device.h"
#include "handles.h"
#include "libraries.h"
#include "streams.h"

#include <algorithm>

namespace fake {

namespace {

struct Event {
    int device;
    bool timed;
    std::shared_ptr<Mark> mark; // of the last record; null before the first
    unsigned polls;             // queries since then that found it not ready
};

constexpr unsigned EVENT_DISABLE_TIMING = 2;
constexpr unsigned EVENT_INTERPROCESS = 4;
// A caller that polls this often waits: a device continues its work meanwhile, so even the lazy schedule must.
constexpr unsigned MOST_POLLS = 100;

Handles<Event> &events() {
    static Handles<Event> &events = *new Handles<Event>;
    return events;
}

// The error of using this event, a CUresult.
int event_error(const Event *event) { return events().has(event) ? SUCCESS : CUDA_INVALID_HANDLE; }

int elapsed(float *result, const Event *start, const Event *end) {
    if (!events().has(start) || !events().has(end) || !start->timed || !end->timed || !start->mark || !end->mark) {
        return CUDA_INVALID_HANDLE;
    }
    if (!start->mark->done || !end->mark->done) {
        return CUDA_NOT_READY;
    }
    *result = float(std::max(end->mark->milliseconds - start->mark->milliseconds, 1e-3));
    return SUCCESS;
}

} // namespace

std::size_t live_events() { return events().size(); }

} // namespace fake

using namespace fake;

// The flags say whether a stream waits for the null stream, which does not exist here.
API int cuStreamCreate(Stream **stream, unsigned flags) {
    return call_in_context(__func__, CUDA_OUT_OF_MEMORY, [&] {
        if (flags > 1) {
            return CUDA_INVALID_VALUE;
        }
        *stream = new_stream(current_device());
        return SUCCESS;
    });
}

API int cuStreamDestroy_v2(Stream *stream) {
    return release(__func__, CUDA_UNKNOWN, [&] {
        if (!is_stream(stream)) {
            return CUDA_INVALID_HANDLE;
        }
        destroy_stream(stream);
        return SUCCESS;
    });
}

API int cuStreamSynchronize(Stream *stream) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        const int error = stream_error(stream);
        if (error == SUCCESS) {
            complete(stream);
        }
        return error;
    });
}

API int cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = stream_error(stream)) {
            return error;
        }
        if (const int error = event_error(event)) {
            return error;
        }
        if (flags != 0) {
            return CUDA_NOT_SUPPORTED;
        }
        // Later records of the event do not change this wait.
        if (event->mark && !event->mark->done) {
            enqueue(stream, [] {}, event->mark);
        }
        return SUCCESS;
    });
}

API int cuEventCreate(Event **event, unsigned flags) {
    return call_in_context(__func__, CUDA_OUT_OF_MEMORY, [&] {
        if (flags >= EVENT_INTERPROCESS) {
            return CUDA_NOT_SUPPORTED;
        }
        *event = events().add({current_device(), (flags & EVENT_DISABLE_TIMING) == 0, nullptr, 0});
        return SUCCESS;
    });
}

API int cuEventDestroy_v2(Event *event) {
    return release(__func__, CUDA_UNKNOWN, [&] { return events().remove(event) ? SUCCESS : CUDA_INVALID_HANDLE; });
}

API int cuEventRecord(Event *event, Stream *stream) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = event_error(event)) {
            return error;
        }
        if (const int error = stream_error(stream)) {
            return error;
        }
        if (event->device != stream->device) {
            return CUDA_INVALID_HANDLE;
        }
        enqueue(stream, [] {});
        event->mark = stream->pending.empty() ? std::make_shared<Mark>(Mark{stream, true, milliseconds()})
                                              : stream->pending.back().mark;
        event->polls = 0;
        return SUCCESS;
    });
}

API int cuEventQuery(Event *event) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = event_error(event)) {
            return error;
        }
        if (event->mark && ++event->polls > MOST_POLLS) {
            complete(event->mark);
        }
        return !event->mark || event->mark->done ? SUCCESS : CUDA_NOT_READY;
    });
}

API int cuEventSynchronize(Event *event) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = event_error(event)) {
            return error;
        }
        if (event->mark) {
            complete(event->mark);
        }
        return SUCCESS;
    });
}

API int cuEventElapsedTime(float *result, Event *start, Event *end) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] { return elapsed(result, start, end); });
}

API int cuEventElapsedTime_v2(float *result, Event *start, Event *end) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] { return elapsed(result, start, end); });
}
