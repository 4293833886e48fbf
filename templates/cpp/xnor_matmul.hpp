// popcount(xnor(x, w)) over K bits: bits (H, W, K) by weight bits (K, M) to (H, W, M).
#pragma once

#include "lanes.hpp"

template <class L, class In, class Out>
struct xnor_matmul {
    static_assert(In::packed, "an XNOR product reads bits");
    static constexpr size_t K = In::C, M = Out::C;
    static constexpr size_t binary_macs = In::pixels * K * M;  // a frame
    Lanes<In, M> lanes;

    explicit xnor_matmul(const Params& params) {
        const typename L::weights bits(params);
        for (size_t k = 0; k < K; ++k)
            for (size_t m = 0; m < M; ++m) {
                size_t bit;
                Word& word = lanes.at(k, m, bit);
                word |= static_cast<Word>(bits(k, m)) << bit;
            }
        for (size_t m = 0; m < M; ++m) lanes.start[m] = static_cast<Word>(K);
    }

    // Equal bits are all but those that differ; bits that stand for no input are 0 on both sides.
    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        const LaneJob job = lanes.job(n, in);
        if constexpr (Out::plain) {
            xnor_lanes(job, reinterpret_cast<std::make_unsigned_t<typename Out::Unit>*>(out.data));
        } else {  // popcounts of one bit
            std::vector<std::uint8_t> counts(job.pixels * M);
            xnor_lanes(job, counts.data());
            for (size_t pixel = 0; pixel < job.pixels; ++pixel)
                out.store(pixel, [&](size_t m) { return counts[pixel * M + m]; });
        }
    }
};
