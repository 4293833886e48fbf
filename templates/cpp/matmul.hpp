// Integer product: (H, W, K) by weights (K, M) plus bias (M) to (H, W, M).
#pragma once

#include "lanes.hpp"
#include "product.hpp"

// Activations of a byte, or bits, by weights of a byte.
template <class L, class In, class Out>
struct byte_matmul {
    static constexpr size_t K = In::C, M = Out::C;
    using Unpacked = Tensor<UInt<8>, In::H, In::W, K>;  // bits as bytes
    using Bytes = std::conditional_t<In::packed, Unpacked, In>;
    using Y = std::make_unsigned_t<typename Out::Element>;
    // x + 128 is unsigned where x is signed; the sum then has 128 times the weights too much.
    static constexpr int64_t shift = In::Type::lo < 0 ? 128 : 0;
    Lanes<Bytes, M> lanes;

    explicit byte_matmul(const Params& params) {
        const typename L::weights w(params);
        const typename L::bias b(params);
        for (size_t m = 0; m < M; ++m) lanes.start[m] = static_cast<Word>(b(m));
        for (size_t k = 0; k < K; ++k)
            for (size_t m = 0; m < M; ++m) {
                size_t bit;
                Word& word = lanes.at(k, m, bit);
                word |= static_cast<Word>(static_cast<std::uint8_t>(w(k, m))) << bit;
                lanes.start[m] -= static_cast<Word>(shift * w(k, m));
            }
    }

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        constexpr Word flip = shift ? 0x80808080u : 0;
        Y* const to = reinterpret_cast<Y*>(out.data);
        if constexpr (In::packed) {
            const Buffer<std::uint8_t> memory(n * Unpacked::frame_units);
            const Unpacked bytes(memory.get());
            for (size_t pixel = 0; pixel < n * In::pixels; ++pixel)
                bytes.store(pixel, [&](size_t k) { return in.at(pixel, k); });
            dot_lanes(lanes.job(n, bytes, flip), to);
        } else {
            dot_lanes(lanes.job(n, in, flip), to);
        }
    }
};

// Any others.
template <class L, class In, class Out>
struct wide_matmul {
    using Sum = Accumulator<typename Out::Type>;
    static constexpr size_t K = In::C, M = Out::C;
    Blocked<Sum, K, M, block_of(M, 64)> weights;
    Buffer<Sum> bias{M};

    explicit wide_matmul(const Params& params) {
        const typename L::weights w(params);
        const typename L::bias b(params);
        for (size_t m = 0; m < M; ++m) bias[m] = static_cast<Sum>(b(m));
        for (size_t k = 0; k < K; ++k)
            for (size_t m = 0; m < M; ++m) weights.at(k, m) = static_cast<Sum>(w(k, m));
    }

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        std::vector<Sum> row(K);
        Walk<typename In::Unit> walk(in.data, In::layout);
        for (size_t pixel = 0; pixel < n * In::pixels; ++pixel) {
            if constexpr (In::packed)
                for (size_t k = 0; k < K; ++k) row[k] = in.at(pixel, k);
            else
                read(walk.next(), row.data());
            weights.multiply(out, pixel, row.data(), bias.get());
        }
    }

   private:
    static void read(const typename In::Unit* x, Sum* row) {
        for (size_t run = 0; run < In::layout.runs; ++run)
            for (size_t i = 0; i < In::layout.length; ++i)
                *row++ = static_cast<Sum>(x[run * In::layout.step + i]);
    }
};

template <class L, class In, class Out>
using matmul = std::conditional_t<
    (In::Type::bits <= 8 && sizeof(typename L::weights::Element) == 1 && Out::plain &&
     sizeof(typename Out::Element) <= 4),
    byte_matmul<L, In, Out>, wide_matmul<L, In, Out>>;
