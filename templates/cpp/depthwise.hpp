// Every channel by its own weights: (H, W, taps * C) by weights (taps, C) plus bias to (H, W, C).
#pragma once

#include "simd.hpp"
#include "tensor.hpp"

template <class L, class In, class Out>
struct depthwise {
    using Sum = Accumulator<typename Out::Type>;
    static constexpr size_t C = Out::C, taps = L::weights::dims[0];
    static_assert(In::C == taps * C);
    Buffer<Sum> weights{taps * C}, bias{C};

    explicit depthwise(const Params& params) {
        const typename L::weights w(params);
        const typename L::bias b(params);
        for (size_t c = 0; c < C; ++c) bias[c] = static_cast<Sum>(b(c));
        for (size_t t = 0; t < taps; ++t)
            for (size_t c = 0; c < C; ++c) weights[t * C + c] = static_cast<Sum>(w(t, c));
    }

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        Walk<typename In::Unit> walk(in.data, In::layout);
        alignas(64) Sum sums[C];
        for (size_t pixel = 0; pixel < n * In::pixels; ++pixel) {
            if constexpr (In::packed) {
                for (size_t c = 0; c < C; ++c) sums[c] = bias[c];
                for (size_t t = 0; t < taps; ++t)
                    for (size_t c = 0; c < C; ++c)
                        sums[c] += in.at(pixel, t * C + c) * weights[t * C + c];
            } else {
                add_taps(walk.next(), sums);
            }
            out.store(pixel, [&](size_t c) { return sums[c]; });
        }
    }

   private:
    // Channels of neighbouring taps of a run lie side by side.
    void add_taps(const typename In::Unit* x, Sum* sums) const {
        dispatch(
            [](const typename In::Unit* x, const Sum* w, const Sum* bias, Sum* sums) INLINE {
                constexpr Layout l = In::layout;
                for (size_t c = 0; c < C; ++c) sums[c] = bias[c];
                for (size_t run = 0; run < l.runs; ++run)
                    for (size_t at = run * l.step; at < run * l.step + l.length; at += C, w += C)
#pragma GCC ivdep
                        for (size_t c = 0; c < C; ++c)
                            sums[c] += static_cast<Sum>(x[at + c]) * w[c];
            },
            x, weights.get(), bias.get(), sums);
    }
};
