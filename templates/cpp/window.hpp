// im2col: (H, W, C) to (OH, OW, kernel * kernel * C), taps ordered (ky, kx, c).
//
// Patches are not written out: the padded image is kept, and its readers find their taps there.
#pragma once

#include <algorithm>

#include "tensor.hpp"

// What model.hpp stores as the output of a window.
template <class L, class In, class Type>
using window_output = Patches<In, Type, L::kernel, L::stride, L::pad>;

template <class L, class In, class Out>
struct window {
    static constexpr size_t pad = L::pad, C = In::C;
    using Image = typename Out::Image;
    using Unit = typename Image::Unit;

    Buffer<Unit> padding{Image::stride};  // a pixel of it

    explicit window(const Params&) {
        const Image pixel(padding.get());
        pixel.store(0, [](size_t) { return L::pad_value; });
    }

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        for (size_t frame = 0; frame < n; ++frame)
            for (size_t y = 0; y < Image::H; ++y) {
                const size_t row = (frame * Image::H + y) * Image::W;
                const bool inside = y >= pad && y < pad + In::H;
                fill(out.image, row, inside ? pad : Image::W);
                if (!inside) continue;
                copy(in, (frame * In::H + y - pad) * In::W, out.image, row + pad);
                fill(out.image, row + pad + In::W, pad);
            }
    }

   private:
    void fill(const Image& image, size_t first, size_t pixels) const {
        for (size_t pixel = first; pixel < first + pixels; ++pixel)
            std::copy_n(padding.get(), Image::stride, image.data + pixel * Image::stride);
    }

    // A row of the input.
    static void copy(const In& in, size_t from, const Image& image, size_t to) {
        if constexpr (!In::view)
            std::memcpy(image.data + to * Image::stride, in.data + from * Image::stride,
                        In::W * Image::stride * sizeof(Unit));
        else
            for (size_t x = 0; x < In::W; ++x)
                image.store(to + x, [&](size_t c) { return in.at(from + x, c); });
    }
};
