// Allocations: guard page, canaries, the bytes, canaries, guard page.
#include "memory.h"

#include "calls.h"
#include "device.h"
#include "settings.h"
#include "streams.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <sstream>

#include <sys/mman.h>

namespace fake {

namespace {

constexpr std::size_t PAGE = 4096;
constexpr std::size_t ALIGNMENT = 256;
constexpr unsigned char CANARY = 0xc5;
// This many freed allocations keep their addresses, and touching them is a fault.
constexpr std::size_t QUARANTINE = 4096;

struct Allocation {
    char *start;
    std::size_t bytes;
    char *pages; // between the guard pages
    std::size_t page_bytes;
    int device; // or HOST
};

struct Memory {
    std::map<const char *, Allocation> live; // by their start
    std::deque<std::pair<char *, std::size_t>> freed;
    std::vector<std::size_t> used, peak; // bytes by device
};

Memory &memory() {
    static Memory &memory = *new Memory;
    return memory;
}

std::size_t rounded(std::size_t bytes, std::size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

std::size_t capacity(int device) {
    const std::string text = text_setting("FAKECUDA_MEMORY");
    std::istringstream numbers(text);
    std::string number;
    std::size_t bytes = std::size_t(4) << 30;
    // The last one is for all devices that follow.
    for (int i = 0; i <= device && std::getline(numbers, number, ','); i++) {
        bytes = parse_number("FAKECUDA_MEMORY", number);
    }
    return bytes;
}

std::size_t &used(int device) {
    memory().used.resize(std::max(memory().used.size(), std::size_t(device) + 1));
    memory().peak.resize(memory().used.size());
    return memory().used[std::size_t(device)];
}

// The allocation that contains this address or ends there, or null.
const Allocation *containing(const char *address) {
    auto next = memory().live.upper_bound(address);
    if (next == memory().live.begin()) {
        return nullptr;
    }
    const Allocation &allocation = std::prev(next)->second;
    return address <= allocation.start + allocation.bytes ? &allocation : nullptr;
}

bool fits(const Allocation &allocation, const char *start, std::size_t bytes) {
    return bytes <= allocation.bytes - std::size_t(start - allocation.start);
}

// Null if this machine has not enough memory.
char *allocate(std::size_t bytes, int device) {
    const std::size_t page_bytes = rounded(rounded(bytes, ALIGNMENT), PAGE);
    void *mapped = mmap(nullptr, page_bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        return nullptr;
    }
    char *pages = static_cast<char *>(mapped) + PAGE;
    if (mprotect(pages, page_bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapped, page_bytes + 2 * PAGE);
        return nullptr;
    }
    char *start = pages + page_bytes - rounded(bytes, ALIGNMENT);
    std::memset(pages, CANARY, page_bytes);
    std::memset(start, POISON, bytes);
    memory().live[start] = {start, bytes, pages, page_bytes, device};
    return start;
}

void check_canaries(const Allocation &allocation) {
    const char *end = allocation.start + allocation.bytes;
    for (const char *byte = allocation.pages; byte < allocation.pages + allocation.page_bytes; byte++) {
        if (byte == allocation.start) {
            byte = end;
            if (byte == allocation.pages + allocation.page_bytes) {
                break;
            }
        }
        if (static_cast<unsigned char>(*byte) != CANARY) {
            const bool behind = byte >= end;
            die("something wrote %zu bytes %s an allocation of %zu bytes", //
                std::size_t(behind ? byte - end + 1 : allocation.start - byte), behind ? "past the end of" : "before",
                allocation.bytes);
        }
    }
}

void free_allocation(const Allocation &allocation) {
    check_canaries(allocation);
    // A fresh mapping gives the memory back and keeps the address.
    mmap(allocation.pages, allocation.page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    memory().freed.emplace_back(allocation.pages - PAGE, allocation.page_bytes + 2 * PAGE);
    memory().live.erase(allocation.start);
    if (memory().freed.size() > QUARANTINE) {
        munmap(memory().freed.front().first, memory().freed.front().second);
        memory().freed.pop_front();
    }
}

// The live allocation that starts here, of the host or of any device, or null.
const Allocation *starting(const void *start, bool host) {
    const auto found = memory().live.find(static_cast<const char *>(start));
    const bool known = found != memory().live.end() && (found->second.device == HOST) == host;
    return known ? &found->second : nullptr;
}

} // namespace

std::size_t free_bytes() { return capacity(current_device()) - used(current_device()); }

bool on_device(const void *start, std::size_t bytes, int device) {
    const char *address = static_cast<const char *>(start);
    const Allocation *allocation = containing(address);
    return allocation != nullptr && allocation->device == device && fits(*allocation, address, bytes);
}

Place host_place(const void *start, std::size_t bytes) {
    const char *address = static_cast<const char *>(start);
    const Allocation *allocation = containing(address);
    if (allocation == nullptr || address == allocation->start + allocation->bytes) {
        return address == nullptr && bytes > 0 ? Place::Invalid : Place::Pageable;
    }
    return allocation->device == HOST && fits(*allocation, address, bytes) ? Place::Pinned : Place::Invalid;
}

void poison(void *start, std::size_t bytes) {
    if (bytes > 0) {
        std::memset(start, POISON, bytes);
    }
}

void poison_ends(void *start, std::size_t bytes) {
    constexpr std::size_t END = 4096;
    if (bytes <= 2 * END) {
        return poison(start, bytes);
    }
    poison(start, END);
    poison(static_cast<unsigned char *>(start) + bytes - END, END);
}

std::size_t matrix_bytes(std::int64_t rows, std::int64_t columns, std::int64_t stride, std::size_t element) {
    return rows == 0 || columns == 0 ? 0 : (std::size_t(columns - 1) * std::size_t(stride) + std::size_t(rows)) * element;
}

std::size_t live_allocations(bool host) {
    return std::size_t(std::count_if(memory().live.begin(), memory().live.end(), [&](const auto &entry) {
        return (entry.second.device == HOST) == host;
    }));
}

std::vector<std::size_t> peak_bytes() {
    std::vector<std::size_t> peak = memory().peak;
    peak.resize(std::size_t(device_count()));
    return peak;
}

} // namespace fake

using namespace fake;

API int cuDeviceTotalMem_v2(std::size_t *bytes, int device) {
    return call(__func__, CUDA_UNKNOWN, [&] {
        if (device < 0 || device >= device_count()) {
            return CUDA_INVALID_DEVICE;
        }
        *bytes = capacity(device);
        return SUCCESS;
    });
}

API int cuMemGetInfo_v2(std::size_t *free, std::size_t *total) {
    return call_in_context(__func__, CUDA_UNKNOWN, [&] {
        *total = capacity(current_device());
        *free = free_bytes();
        return SUCCESS;
    });
}

API int cuMemAlloc_v2(char **pointer, std::size_t bytes) {
    return call_in_context(__func__, CUDA_OUT_OF_MEMORY, [&] {
        const int device = current_device();
        if (bytes == 0) {
            return CUDA_INVALID_VALUE;
        }
        if (bytes > capacity(device) || rounded(bytes, ALIGNMENT) > free_bytes()) {
            return CUDA_OUT_OF_MEMORY;
        }
        *pointer = allocate(bytes, device);
        if (*pointer == nullptr) {
            return CUDA_OUT_OF_MEMORY;
        }
        used(device) += rounded(bytes, ALIGNMENT);
        std::size_t &peak = memory().peak[std::size_t(device)];
        peak = std::max(peak, used(device));
        return SUCCESS;
    });
}

API int cuMemFree_v2(char *pointer) {
    return release(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = context_error()) {
            return error;
        }
        const Allocation *allocation = starting(pointer, false);
        if (allocation == nullptr) {
            return pointer == nullptr ? SUCCESS : CUDA_INVALID_VALUE;
        }
        complete_device(allocation->device);
        used(allocation->device) -= rounded(allocation->bytes, ALIGNMENT);
        free_allocation(*allocation);
        return SUCCESS;
    });
}

// The flags make memory portable, mapped or write-combined: all the same here.
API int cuMemHostAlloc(void **pointer, std::size_t bytes, unsigned flags) {
    return call_in_context(__func__, CUDA_OUT_OF_MEMORY, [&] {
        if (bytes == 0 || flags > 7) {
            return CUDA_INVALID_VALUE;
        }
        *pointer = allocate(bytes, HOST);
        return *pointer == nullptr ? CUDA_OUT_OF_MEMORY : SUCCESS;
    });
}

API int cuMemFreeHost(void *pointer) {
    return release(__func__, CUDA_UNKNOWN, [&] {
        if (const int error = context_error()) {
            return error;
        }
        const Allocation *allocation = starting(pointer, true);
        if (allocation == nullptr) {
            return CUDA_INVALID_VALUE;
        }
        for (int device = 0; device < device_count(); device++) {
            complete_device(device);
        }
        free_allocation(*allocation);
        return SUCCESS;
    });
}
