// The scheduler: threads of one block as fibers, until all have returned.
#include "launch.h"
#include "emulation.h"

#include <algorithm>
#include <csetjmp>
#include <memory>
#include <random>
#include <vector>

#include <ucontext.h>

namespace emulation {

Dim3 thread, block, block_size, grid_size;

namespace {

constexpr std::size_t STACK_BYTES = 64 << 10;
constexpr unsigned char POISON = 0xff; // as a double: NaN

enum class State { Ready, AtBlockBarrier, AtWarpBarrier, Returned };

// A stack with a thread on it. It outlives the thread, and runs the next one: switching to a new stack takes a system call,
// resuming a used one does not.
struct Fiber {
    std::unique_ptr<unsigned char[]> stack{new unsigned char[STACK_BYTES]};
    bool begun = false;
    jmp_buf place;
    State state;
    unsigned mask;
    Dim3 index;
};

// Never destroyed: a thread may still run a kernel while the process exits.
std::vector<Fiber> &fibers = *new std::vector<Fiber>;
std::vector<Fiber> &idle = *new std::vector<Fiber>;
std::vector<std::uint64_t> &slots = *new std::vector<std::uint64_t>;
std::vector<unsigned char> &shared_bytes = *new std::vector<unsigned char>;
jmp_buf scheduler;
Fiber *running;
const std::function<void()> *body;

void wait(State state, unsigned mask) {
    running->state = state;
    running->mask = mask;
    Fiber *self = running;
    if (_setjmp(self->place) == 0) {
        _longjmp(scheduler, 1);
    }
}

void start() {
    for (;;) {
        (*body)();
        wait(State::Returned, 0);
    }
}

// Runs a fiber until it waits.
void run(Fiber &fiber) {
    running = &fiber;
    thread = fiber.index;
    if (_setjmp(scheduler) != 0) {
        return;
    }
    if (fiber.begun) {
        _longjmp(fiber.place, 1);
    }
    fiber.begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack.get();
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = nullptr;
    makecontext(&context, start, 0);
    setcontext(&context);
}

// Releases waiting threads once all that they wait for have arrived. Returns false if none could be released.
bool release() {
    bool released = false;
    for (std::size_t first = 0; first < fibers.size(); first += 32) {
        const std::size_t lanes = std::min<std::size_t>(32, fibers.size() - first);
        for (std::size_t lane = 0; lane < lanes; lane++) {
            if (fibers[first + lane].state != State::AtWarpBarrier) {
                continue;
            }
            const unsigned mask = fibers[first + lane].mask;
            bool complete = (mask >> lane & 1) != 0;
            for (std::size_t other = 0; other < 32; other++) {
                if (mask >> other & 1) {
                    complete = complete && other < lanes && fibers[first + other].state == State::AtWarpBarrier &&
                               fibers[first + other].mask == mask;
                }
            }
            if (complete) {
                for (std::size_t other = 0; other < lanes; other++) {
                    if (mask >> other & 1) {
                        fibers[first + other].state = State::Ready;
                    }
                }
                released = true;
            }
        }
    }
    const auto in_the_way = [](const Fiber &fiber) {
        return fiber.state == State::Ready || fiber.state == State::AtWarpBarrier;
    };
    if (!released && std::none_of(fibers.begin(), fibers.end(), in_the_way)) {
        for (Fiber &fiber : fibers) {
            if (fiber.state == State::AtBlockBarrier) {
                fiber.state = State::Ready;
                released = true;
            }
        }
    }
    return released;
}

bool all_returned() {
    return std::all_of(fibers.begin(), fibers.end(), [](const Fiber &f) { return f.state == State::Returned; });
}

} // namespace

void *shared() { return shared_bytes.data(); }
void block_barrier() { wait(State::AtBlockBarrier, 0); }
void warp_barrier(unsigned mask) { wait(State::AtWarpBarrier, mask); }
std::uint64_t *warp_slots() { return &slots[linear_thread() / 32 * 32]; }

bool launchable(Dim3 grid, Dim3 size, std::size_t shared) {
    const std::size_t threads = std::size_t(size.x) * size.y * size.z;
    return threads > 0 && threads <= 1024 && grid.x > 0 && grid.y > 0 && grid.z > 0 && shared <= 232448;
}

Outcome launch(Dim3 grid, Dim3 size, std::size_t shared, Order order, std::uint64_t seed, const std::function<void()> &f) {
    const std::size_t threads = std::size_t(size.x) * size.y * size.z;
    grid_size = grid;
    block_size = size;
    body = &f;
    while (fibers.size() > threads) {
        idle.push_back(std::move(fibers.back()));
        fibers.pop_back();
    }
    while (fibers.size() < threads && !idle.empty()) {
        fibers.push_back(std::move(idle.back()));
        idle.pop_back();
    }
    fibers.resize(threads);
    slots.assign((threads + 31) / 32 * 32, 0);
    for (std::size_t i = 0; i < threads; i++) {
        fibers[i].index = {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
    }
    std::vector<std::size_t> sequence(threads);
    for (std::size_t i = 0; i < threads; i++) {
        sequence[i] = order == Order::Reverse ? threads - 1 - i : i;
    }
    std::mt19937_64 random(seed);
    const std::size_t blocks = std::size_t(grid.x) * grid.y * grid.z;
    for (std::size_t b = 0; b < blocks; b++) {
        // In reverse order the last block runs first: no block may depend on an earlier one.
        const std::size_t i = order == Order::Reverse ? blocks - 1 - b : b;
        block = {unsigned(i % grid.x), unsigned(i / grid.x % grid.y), unsigned(i / grid.x / grid.y)};
        shared_bytes.assign(shared, POISON);
        std::for_each(fibers.begin(), fibers.end(), [](Fiber &fiber) { fiber.state = State::Ready; });
        while (!all_returned()) {
            if (order == Order::Shuffled) {
                std::shuffle(sequence.begin(), sequence.end(), random);
            }
            for (std::size_t t : sequence) {
                if (fibers[t].state == State::Ready) {
                    run(fibers[t]);
                }
            }
            if (!all_returned() && !release()) {
                fibers.clear(); // the next launch must not resume them
                return Outcome::Deadlock;
            }
        }
    }
    return Outcome::Success;
}

} // namespace emulation
