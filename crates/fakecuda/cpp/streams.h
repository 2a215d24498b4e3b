// Streams are queues. The schedule decides when an operation leaves its queue and runs.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

namespace fake {

struct Stream;

// Whether an operation has run.
struct Mark {
    Stream *stream;
    bool done;
    double milliseconds;
};

struct Operation {
    std::function<void()> run;
    std::shared_ptr<Mark> after; // must be done before; null for none
    std::shared_ptr<Mark> mark;
};

struct Stream {
    int device;
    std::deque<Operation> pending;
};

enum class Schedule { Eager, Lazy, Random };

Schedule schedule();
std::uint64_t schedule_seed();

Stream *new_stream(int device);
bool is_stream(const Stream *stream);
// Runs all that is pending, and frees the stream.
void destroy_stream(Stream *stream);

// The error of using this stream in the current context, a CUresult.
int stream_error(const Stream *stream);

// Queues an operation, and runs it at once if the schedule is eager.
void enqueue(Stream *stream, std::function<void()> run, std::shared_ptr<Mark> after = nullptr);
// Runs some pending operations, if the schedule is random.
void run_some();
// Runs what a mark needs, and nothing else.
void complete(std::shared_ptr<Mark> goal);
// Runs all that is pending, and what it depends on.
void complete(Stream *stream);
void complete_device(int device);

// The clock of marks.
double milliseconds();

std::size_t live_streams();
std::size_t pending_operations();
// The most streams that had something pending at once.
std::size_t most_concurrent_streams();

} // namespace fake
