// The schedules, and the functions for streams and events.
#include "streams.h"

#include "calls.h"
#include "device.h"
#include "handles.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

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
// Who asks so often waits: a device gets on with its work, so even the lazy schedule must.
constexpr unsigned MOST_POLLS = 100;

Handles<Stream> &streams() {
    static Handles<Stream> &streams = *new Handles<Stream>;
    return streams;
}

Handles<Event> &events() {
    static Handles<Event> &events = *new Handles<Event>;
    return events;
}

// In the order in which they were created: the random schedule must not depend on addresses.
std::vector<Stream *> &order() {
    static std::vector<Stream *> &order = *new std::vector<Stream *>;
    return order;
}

std::size_t most_concurrent = 0;

double milliseconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(now).count();
}

bool is_blocked(const Operation &operation) { return operation.after && !operation.after->done; }

void run_front(Stream *stream) {
    Operation operation = std::move(stream->pending.front());
    stream->pending.pop_front();
    operation.run();
    operation.mark->milliseconds = milliseconds();
    operation.mark->done = true;
}

// Runs what the goal needs, and nothing else. A mark that is not done has its operation in its stream's queue, and what an
// operation waits for was always queued before it: there is no cycle.
void complete(std::shared_ptr<Mark> goal) {
    std::vector<std::shared_ptr<Mark>> goals{std::move(goal)};
    while (!goals.empty()) {
        if (goals.back()->done) {
            goals.pop_back();
            continue;
        }
        Stream *stream = goals.back()->stream;
        const Operation &front = stream->pending.front();
        if (is_blocked(front)) {
            goals.push_back(front.after);
        } else {
            run_front(stream);
        }
    }
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

Schedule schedule() {
    static const Schedule schedule = [] {
        const std::string text = text_setting("FAKECUDA_SCHEDULE");
        if (text.empty() || text == "eager") {
            return Schedule::Eager;
        }
        if (text != "lazy" && text.rfind("random:", 0) != 0) {
            die("FAKECUDA_SCHEDULE=%s is none of eager, lazy, random:SEED", text.c_str());
        }
        return text == "lazy" ? Schedule::Lazy : Schedule::Random;
    }();
    return schedule;
}

std::uint64_t schedule_seed() {
    const std::string text = text_setting("FAKECUDA_SCHEDULE");
    return schedule() == Schedule::Random ? std::strtoull(text.c_str() + 7, nullptr, 10) : 0;
}

void run_some() {
    if (schedule() != Schedule::Random) {
        return;
    }
    static std::mt19937_64 &random = *new std::mt19937_64(schedule_seed());
    for (std::size_t times = random() % 4; times > 0 && !order().empty(); times--) {
        Stream *stream = order()[random() % order().size()];
        if (!stream->pending.empty() && !is_blocked(stream->pending.front())) {
            run_front(stream);
        }
    }
}

int stream_error(const Stream *stream) {
    if (stream == nullptr) {
        return CUDA_NOT_SUPPORTED; // its implicit synchronisation is not modelled
    }
    return streams().has(stream) && stream->device == current_device() ? SUCCESS : CUDA_INVALID_HANDLE;
}

void enqueue(Stream *stream, std::function<void()> run, std::shared_ptr<Mark> after) {
    stream->pending.push_back({std::move(run), std::move(after), std::make_shared<Mark>(Mark{stream, false, 0})});
    const auto busy = [](const Stream *other) { return !other->pending.empty(); };
    most_concurrent = std::max(most_concurrent, std::size_t(std::count_if(order().begin(), order().end(), busy)));
    if (schedule() == Schedule::Eager) {
        complete(stream);
    }
}

void complete(Stream *stream) {
    if (!stream->pending.empty()) {
        complete(stream->pending.back().mark);
    }
}

void complete_device(int device) {
    for (Stream *stream : order()) {
        if (stream->device == device) {
            complete(stream);
        }
    }
}

std::size_t live_streams() { return streams().size(); }
std::size_t live_events() { return events().size(); }
std::size_t most_concurrent_streams() { return most_concurrent; }

std::size_t pending_operations() {
    std::size_t pending = 0;
    for (const Stream *stream : order()) {
        pending += stream->pending.size();
    }
    return pending;
}

} // namespace fake

using namespace fake;

// Whether a stream waits for the null stream (flags) makes no difference: there is none.
API int cuStreamCreate(Stream **stream, unsigned flags) {
    return call_in_context(__func__, CUDA_OUT_OF_MEMORY, [&] {
        if (flags > 1) {
            return CUDA_INVALID_VALUE;
        }
        *stream = streams().add({current_device(), {}});
        order().push_back(*stream);
        return SUCCESS;
    });
}

API int cuStreamDestroy_v2(Stream *stream) {
    return release(__func__, CUDA_UNKNOWN, [&] {
        if (!streams().has(stream)) {
            return CUDA_INVALID_HANDLE;
        }
        // CUDA lets what is pending run, some time later.
        complete(stream);
        order().erase(std::find(order().begin(), order().end(), stream));
        streams().remove(stream);
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
        // Later records of the event are none of this wait's business.
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
