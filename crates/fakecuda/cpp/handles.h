// The live handles of one kind. A handle that is not among them was destroyed, or never existed.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

namespace fake {

template <typename T> class Handles {
  public:
    T *add(T value) {
        auto owner = std::make_unique<T>(std::move(value));
        T *handle = owner.get();
        live.emplace(handle, std::move(owner));
        return handle;
    }
    bool has(const T *handle) const { return live.count(handle) != 0; }
    bool remove(const T *handle) { return live.erase(handle) != 0; }
    std::size_t size() const { return live.size(); }
    auto begin() const { return live.begin(); }
    auto end() const { return live.end(); }

  private:
    std::unordered_map<const T *, std::unique_ptr<T>> live;
};

} // namespace fake
