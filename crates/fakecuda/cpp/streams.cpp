// The schedules, and the queues.
#include "streams.h"

#include "device.h"
#include "handles.h"
#include "settings.h"
#include "status.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

namespace fake {

namespace {

Handles<Stream> &streams() {
    static Handles<Stream> &streams = *new Handles<Stream>;
    return streams;
}

// In the order in which they were created: the random schedule must not depend on addresses.
std::vector<Stream *> &order() {
    static std::vector<Stream *> &order = *new std::vector<Stream *>;
    return order;
}

std::size_t most_concurrent = 0;

bool is_blocked(const Operation &operation) { return operation.after && !operation.after->done; }

void run_front(Stream *stream) {
    Operation operation = std::move(stream->pending.front());
    stream->pending.pop_front();
    operation.run();
    operation.mark->milliseconds = milliseconds();
    operation.mark->done = true;
}

} // namespace

double milliseconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(now).count();
}

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

Stream *new_stream(int device) {
    Stream *stream = streams().add({device, {}});
    order().push_back(stream);
    return stream;
}

bool is_stream(const Stream *stream) { return streams().has(stream); }

void destroy_stream(Stream *stream) {
    // CUDA lets what is pending run, some time later.
    complete(stream);
    order().erase(std::find(order().begin(), order().end(), stream));
    streams().remove(stream);
}

int stream_error(const Stream *stream) {
    if (stream == nullptr) {
        return CUDA_NOT_SUPPORTED; // its implicit synchronisation is not modeled
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
std::size_t most_concurrent_streams() { return most_concurrent; }

std::size_t pending_operations() {
    std::size_t pending = 0;
    for (const Stream *stream : order()) {
        pending += stream->pending.size();
    }
    return pending;
}

} // namespace fake
