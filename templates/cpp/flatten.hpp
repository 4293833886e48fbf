// An image as one pixel: (H, W, C) to (1, 1, H * W * C).
#pragma once

#include "tensor.hpp"

template <class L, class In, class Out>
struct flatten {
    static_assert(Out::pixels == 1 && Out::C == In::size);

    explicit flatten(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        constexpr bool same = !In::packed || In::C % kWordBits == 0;  // bytes in memory
        if constexpr (!In::view && same)
            std::memcpy(out.data, in.data, n * In::frame_bytes);
        else
            for (size_t frame = 0; frame < n; ++frame)
                out.store(frame, [&](size_t i) {
                    return in.at(frame * In::pixels + i / In::C, i % In::C);
                });
    }
};
