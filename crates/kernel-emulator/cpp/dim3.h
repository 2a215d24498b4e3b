// The extent of a grid or a block, or a place in it.
#pragma once

namespace emulation {

struct Dim3 {
    unsigned x, y, z;
};

} // namespace emulation
