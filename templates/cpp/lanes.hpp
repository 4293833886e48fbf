// Products with one vector lane an output channel, 16 channels a group: what the XNOR product and
// the product of bytes share. Activations are read where they lie, 32 bits at a time (32 bits or 4
// bytes of input channels), and meet the same 32 bits of the weights of 16 channels at once.
//
//   y[pixel, m] = start[m] + sum over words i of meet(x[pixel][i], w[i, m])
//
// Sums are modulo 2^32.
#pragma once

#include <algorithm>

#include "simd.hpp"
#include "tensor.hpp"

constexpr size_t kLanes = 16;

struct LaneJob {
    const unsigned char* x;
    Layout layout;                // in bytes, but `length` in words
    size_t pixels;                // of all frames
    const Word* weights;          // [group][word][lane]
    const Word* start;            // [channel], whole groups
    size_t channels;
    Word flip;                    // that turns bytes into unsigned ones

    size_t groups() const { return (channels + kLanes - 1) / kLanes; }
    size_t words() const { return layout.runs * layout.length; }
};

inline Word load_word(const unsigned char* at) {
    Word word;
    std::memcpy(&word, at, sizeof(word));
    return word;
}

// Weights and start values of a product whose inputs are `In` and whose outputs are M channels.
template <class In, size_t kM>
struct Lanes {
    static constexpr size_t unit = sizeof(typename In::Unit);
    static constexpr size_t per_word = sizeof(Word) / unit;
    static constexpr size_t run = In::layout.length;                          // units
    static constexpr size_t run_words = (run + per_word - 1) / per_word;
    static constexpr size_t rows = In::layout.runs * run_words;
    static constexpr size_t groups = (kM + kLanes - 1) / kLanes;

    Buffer<Word> weights{groups * rows * kLanes}, start{groups * kLanes};

    // The word that holds the weight of input k for channel m, and the bit where it begins.
    Word& at(size_t k, size_t m, size_t& bit) const {
        const Place place = place_of(static_cast<const In*>(nullptr), k);
        const size_t within = place.unit % run;
        const size_t row = place.unit / run * run_words + within / per_word;
        bit = within % per_word * unit * 8 + place.bit;
        return weights[(m / kLanes * rows + row) * kLanes + m % kLanes];
    }

    LaneJob job(size_t n, const In& in, Word flip = 0) const {
        constexpr Layout l = In::layout;
        constexpr Layout bytes = {l.height,      l.width, l.frame * unit, l.row * unit,
                                  l.column * unit, l.runs,  run_words,      l.step * unit};
        return {reinterpret_cast<const unsigned char*>(in.data), bytes, n * In::pixels,
                weights.get(), start.get(), kM, flip};
    }
};

#if USE_X86
AVX512_CODE
namespace avx512 {

// Stores lanes as elements of Y; `count` < 16 of them behind the last channel's group. (GCC 12 warns
// of its own _mm512_cvtepi32_epi16; with a mask of ones it does not.)
inline void store(std::uint32_t* to, __m512i v, size_t count) {
    _mm512_mask_storeu_epi32(to, static_cast<__mmask16>((1u << count) - 1), v);
}
inline void store(std::uint16_t* to, __m512i v, size_t count) {
    const __m256i narrow = _mm512_maskz_cvtepi32_epi16(0xffff, v);
    if (count == kLanes)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), narrow);
    else
        _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), narrow);
}
inline void store(std::uint8_t* to, __m512i v, size_t count) {
    const __m128i narrow = _mm512_maskz_cvtepi32_epi8(0xffff, v);
    if (count == kLanes)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), narrow);
    else
        _mm_mask_storeu_epi8(to, static_cast<__mmask16>((1u << count) - 1), narrow);
}

struct Xnor {
    static __m512i load(const unsigned char* x, Word) {
        return _mm512_set1_epi32(static_cast<int>(load_word(x)));
    }
    static __m512i meet(__m512i sum, __m512i x, __m512i w) {
        return _mm512_sub_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(x, w)));
    }
};

struct Dot {
    static __m512i load(const unsigned char* x, Word flip) {
        return _mm512_set1_epi32(static_cast<int>(load_word(x) ^ flip));
    }
    static __m512i meet(__m512i sum, __m512i x, __m512i w) {
        return _mm512_dpbusd_epi32(sum, x, w);
    }
};

// kP pixels by kG groups, sums in registers: a word of weights is loaded once for kP pixels, a
// word of activations once for kG groups.
template <class Op, size_t kP, size_t kG, class Y>
void tile(const LaneJob& job, const unsigned char* const* pixels, size_t group, Y* out) {
    const size_t rows = job.words(), step = rows * kLanes;
    const Word* w = job.weights + group * step;
    const unsigned char* x[kP];
    __m512i sums[kP][kG];
#pragma GCC unroll 8
    for (size_t p = 0; p < kP; ++p) {
        x[p] = pixels[p];
#pragma GCC unroll 4
        for (size_t g = 0; g < kG; ++g)
            sums[p][g] = _mm512_load_si512(job.start + (group + g) * kLanes);
    }
    for (size_t run = 0; run < job.layout.runs; ++run) {
        const size_t from = run * job.layout.step, end = from + job.layout.length * sizeof(Word);
        for (size_t at = from; at < end; at += sizeof(Word), w += kLanes) {
            __m512i weights[kG];
#pragma GCC unroll 4
            for (size_t g = 0; g < kG; ++g) weights[g] = _mm512_load_si512(w + g * step);
#pragma GCC unroll 8
            for (size_t p = 0; p < kP; ++p) {
                const __m512i a = Op::load(x[p] + at, job.flip);
#pragma GCC unroll 4
                for (size_t g = 0; g < kG; ++g) sums[p][g] = Op::meet(sums[p][g], a, weights[g]);
            }
        }
    }
    const size_t first = group * kLanes;
#pragma GCC unroll 8
    for (size_t p = 0; p < kP; ++p)
#pragma GCC unroll 4
        for (size_t g = 0; g < kG; ++g) {
            const size_t left = job.channels - first - g * kLanes;
            store(out + p * job.channels + first + g * kLanes, sums[p][g],
                  left < kLanes ? left : kLanes);
        }
}

template <class Op, size_t kP, size_t kG, class Y>
void tiles(const LaneJob& job, size_t group, Y* out) {
    Walk<unsigned char> walk(job.x, job.layout);
    size_t pixel = 0;
    const unsigned char* x[kP];
    for (; pixel + kP <= job.pixels; pixel += kP) {
        for (size_t p = 0; p < kP; ++p) x[p] = walk.next();
        tile<Op, kP, kG>(job, x, group, out + pixel * job.channels);
    }
    for (; pixel < job.pixels; ++pixel) {
        x[0] = walk.next();
        tile<Op, 1, kG>(job, x, group, out + pixel * job.channels);
    }
}

template <class Op, class Y>
[[gnu::noinline]] void product(const LaneJob& job, Y* out) {
    const size_t groups = job.groups();
    size_t group = 0;
    for (; group + 4 <= groups; group += 4) tiles<Op, 4, 4>(job, group, out);
    if (group + 2 <= groups) {
        tiles<Op, 8, 2>(job, group, out);
        group += 2;
    }
    if (group < groups) tiles<Op, 8, 1>(job, group, out);
}

}  // namespace avx512
END_CODE

AVX2_CODE
namespace avx2 {
typedef Word Vector __attribute__((vector_size(32), may_alias));

// Ones in every byte, by a table of 16 in the shuffle unit.
inline Vector count_bytes(Vector v) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                           2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15), bits = (__m256i)v;
    const __m256i high = _mm256_and_si256(_mm256_srli_epi32(bits, 4), nibble);
    return (Vector)_mm256_add_epi8(
        _mm256_shuffle_epi8(table, _mm256_and_si256(bits, nibble)),
        _mm256_shuffle_epi8(table, high));
}
#include "carry_save.hpp"

// sum + x0 w0 + ... + x3 w3 in every lane, x unsigned bytes and w signed ones.
inline Vector dot(Vector sum, Word x, Vector w) {
    const __m256i even_x = _mm256_set1_epi32(static_cast<int>(x & 0x00ff00ffu));
    const __m256i odd_x = _mm256_set1_epi32(static_cast<int>(x >> 8 & 0x00ff00ffu));
    const __m256i even_w = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)w, 8), 8);
    const __m256i odd_w = _mm256_srai_epi16((__m256i)w, 8);
    return sum + (Vector)_mm256_madd_epi16(even_x, even_w) +
           (Vector)_mm256_madd_epi16(odd_x, odd_w);
}
#include "byte_dot.hpp"

}  // namespace avx2
END_CODE
#endif

namespace portable {
typedef Word Vector __attribute__((vector_size(16), may_alias));

inline Vector count_bytes(Vector v) {
    v -= v >> 1 & 0x55555555u;
    v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
    return (v + (v >> 4)) & 0x0f0f0f0fu;
}
#include "carry_save.hpp"

// Byte i of every lane as a signed number.
inline Vector byte_of(Vector w, int i) {
    typedef std::int32_t Numbers __attribute__((vector_size(16), may_alias));
    return (Vector)((Numbers)(w << (24 - 8 * i)) >> 24);
}
inline Vector dot(Vector sum, Word x, Vector w) {
    for (int i = 0; i < 4; ++i) sum += byte_of(w, i) * (x >> 8 * i & 255u);
    return sum;
}
#include "byte_dot.hpp"
}  // namespace portable

// Outputs are unsigned here, of the size of the tensor's elements: sums modulo 2^32 are cut.
template <class Y>
void xnor_lanes(const LaneJob& job, Y* out) {
#if USE_X86
    if (simd_level == Simd::avx512) return avx512::product<avx512::Xnor>(job, out);
    if (simd_level == Simd::avx2) return avx2::xnor_product(job, out);
#endif
    portable::xnor_product(job, out);
}

template <class Y>
void dot_lanes(const LaneJob& job, Y* out) {
#if USE_X86
    if (simd_level == Simd::avx512) return avx512::product<avx512::Dot>(job, out);
    if (simd_level == Simd::avx2) return avx2::dot_product(job, out);
#endif
    portable::dot_product(job, out);
}
