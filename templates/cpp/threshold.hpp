// Staircase per channel: y = offset + number of thresholds T[c, i] with x >= T[c, i], ascending.
//
// Several ways to count, all exact: bits come from one comparison, few thresholds are compared with
// one after the other, and many are lines. Channels that are no lines are looked up, or searched.
#pragma once

#include <algorithm>

#include "lines.hpp"
#include "simd.hpp"
#include "tensor.hpp"

// Bit i of reached(x, t): x[i] >= t[i], for 32 channels.
#if USE_X86
AVX512_CODE
namespace avx512 {
template <class X>
__m512i words_of(const X* x) {  // 16 elements
    if constexpr (sizeof(X) == 4) return _mm512_loadu_si512(x);
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return std::is_signed_v<X> ? _mm512_cvtepi16_epi32(half) : _mm512_cvtepu16_epi32(half);
}
template <class X, class T>
Word reached(const X* x, const T* t) {
    if constexpr (sizeof(T) == 1) {
        return _mm256_cmpge_epi8_mask(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)),
                                      _mm256_load_si256(reinterpret_cast<const __m256i*>(t)));
    } else if constexpr (sizeof(T) == 2) {
        __m512i wide;
        if constexpr (sizeof(X) == 1) {
            const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
            wide = std::is_signed_v<X> ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
        } else {
            wide = _mm512_loadu_si512(x);
        }
        return _mm512_cmpge_epi16_mask(wide, _mm512_load_si512(t));
    } else {
        const Word low = _mm512_cmpge_epi32_mask(words_of(x), _mm512_load_si512(t));
        const Word high = _mm512_cmpge_epi32_mask(words_of(x + 16), _mm512_load_si512(t + 16));
        return low | high << 16;
    }
}
}  // namespace avx512
END_CODE

AVX2_CODE
namespace avx2 {
inline __m256i load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }
inline __m128i half(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }

template <class X, class T>
Word reached(const X* x, const T* t) {
    if constexpr (sizeof(T) == 1) {
        return ~static_cast<Word>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(load(t), load(x))));
    } else if constexpr (sizeof(T) == 2) {
        __m256i below[2];
        for (int i = 0; i < 2; ++i) {
            __m256i wide;
            if constexpr (sizeof(X) == 2)
                wide = load(x + 16 * i);
            else
                wide = std::is_signed_v<X> ? _mm256_cvtepi8_epi16(half(x + 16 * i))
                                           : _mm256_cvtepu8_epi16(half(x + 16 * i));
            below[i] = _mm256_cmpgt_epi16(load(t + 16 * i), wide);
        }
        const __m256i bytes =
            _mm256_permute4x64_epi64(_mm256_packs_epi16(below[0], below[1]), 0xd8);
        return ~static_cast<Word>(_mm256_movemask_epi8(bytes));
    } else {
        Word below = 0;
        for (int i = 0; i < 4; ++i) {
            __m256i wide;
            if constexpr (sizeof(X) == 4)
                wide = load(x + 8 * i);
            else
                wide = std::is_signed_v<X> ? _mm256_cvtepi16_epi32(half(x + 8 * i))
                                           : _mm256_cvtepu16_epi32(half(x + 8 * i));
            const __m256i wrong = _mm256_cmpgt_epi32(load(t + 8 * i), wide);
            below |= static_cast<Word>(_mm256_movemask_ps(_mm256_castsi256_ps(wrong))) << 8 * i;
        }
        return ~below;
    }
}
}  // namespace avx2
END_CODE
#endif

namespace portable {
template <class X, class T>
Word reached(const X* x, const T* t) {
    std::uint8_t flags[32];
    for (size_t i = 0; i < 32; ++i) flags[i] = static_cast<T>(x[i]) >= t[i];
    Word word = 0;
    for (size_t byte = 0; byte < 4; ++byte) {
        uint64_t eight;  // the product moves byte i of eight to bit 56 + i
        std::memcpy(&eight, flags + 8 * byte, 8);
        word |= static_cast<Word>(eight * 0x0102040810204080u >> 56) << 8 * byte;
    }
    return word;
}
}  // namespace portable

// Pixels of `channels` elements to words of bits; t has whole words of thresholds.
#define CPPSIM_SIGNS(level)                                                                     \
    namespace level {                                                                           \
    template <class X, class T>                                                                 \
    void signs(const X* x, size_t pixels, size_t channels, const T* t, Word* out) {             \
        const size_t row = words(channels);                                                     \
        const Word last = ~Word{0} >> (row * kWordBits - channels);                             \
        for (size_t pixel = 0; pixel < pixels; ++pixel, x += channels, out += row) {            \
            for (size_t i = 0; i < row; ++i)                                                    \
                out[i] = reached(x + i * kWordBits, t + i * kWordBits);                         \
            out[row - 1] &= last;                                                               \
        }                                                                                       \
    }                                                                                           \
    }
CPPSIM_SIGNS(portable)
#if USE_X86
AVX2_CODE
CPPSIM_SIGNS(avx2)
END_CODE
AVX512_CODE
CPPSIM_SIGNS(avx512)
END_CODE
#endif

template <class X, class T>
void signs(const X* x, size_t pixels, size_t channels, const T* t, Word* out) {
#if USE_X86
    if constexpr (sizeof(T) <= 4) {
        if (simd_level == Simd::avx512) return avx512::signs(x, pixels, channels, t, out);
        if (simd_level == Simd::avx2) return avx2::signs(x, pixels, channels, t, out);
    }
#endif
    portable::signs(x, pixels, channels, t, out);
}

// One threshold, to bits.
template <class L, class In, class Out>
struct sign_threshold {
    static constexpr size_t C = In::C;
    using X = typename In::Element;
    using Narrow = Signed<In::Type::lo, In::Type::hi + 1>;  // hi + 1: never reached
    using T = std::conditional_t<(sizeof(Narrow) < sizeof(X)), std::make_signed_t<X>, Narrow>;
    Buffer<T> level{round_up(C, kWordBits)};

    explicit sign_threshold(const Params& params) {
        const typename L::thresholds t(params);
        for (size_t c = 0; c < C; ++c)
            level[c] = static_cast<T>(std::clamp(t(c, 0), In::Type::lo, In::Type::hi + 1));
    }
    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        signs(in.data, n * In::pixels, C, level.get(), out.data);
    }
};

// A few thresholds: t[step][channel].
template <size_t kSteps, class X, class T, class Y>
void count_reached(const X* x, size_t pixels, size_t channels, const T* t, T offset, Y* y) {
    dispatch(
        [](const X* x, size_t pixels, size_t channels, const T* t, T offset, Y* y) INLINE {
            for (; pixels > 0; --pixels, x += channels, y += channels)
#pragma GCC ivdep
                for (size_t c = 0; c < channels; ++c) {
                    T count = offset;
                    for (size_t i = 0; i < kSteps; ++i)
                        count = static_cast<T>(count +
                                               (static_cast<T>(x[c]) >= t[i * channels + c]));
                    y[c] = static_cast<Y>(count);
                }
        },
        x, pixels, channels, t, offset, y);
}

template <class L, class In, class Out>
struct few_thresholds {
    static constexpr size_t C = In::C, steps = L::thresholds::dims[1];
    static constexpr int64_t lo = In::Type::lo, hi = In::Type::hi;
    using T = Signed<std::min<int64_t>(lo, L::offset),
                     std::max<int64_t>(hi + 1, L::offset + int64_t{steps})>;
    Buffer<T> level{steps * C};

    explicit few_thresholds(const Params& params) {
        const typename L::thresholds t(params);
        for (size_t i = 0; i < steps; ++i)
            for (size_t c = 0; c < C; ++c)
                level[i * C + c] = static_cast<T>(std::clamp(t(c, i), lo, hi + 1));
    }
    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        constexpr T offset = static_cast<T>(L::offset);
        if constexpr (In::plain && Out::plain) {
            count_reached<steps>(in.data, n * In::pixels, C, level.get(), offset, out.data);
        } else {
            for (size_t pixel = 0; pixel < n * In::pixels; ++pixel)
                out.store(pixel, [&](size_t c) {
                    int64_t y = L::offset;
                    for (size_t i = 0; i < steps; ++i)
                        y += int64_t{in.at(pixel, c)} >= level[i * C + c];
                    return y;
                });
        }
    }
};

// By channel, floating point of one type. Of few channels several pixels make a row, so that it
// fills vectors.
template <class Real>
struct LineTable {
    size_t channels, repeat;
    Buffer<Real> knee, slope[2], offset[2];
    bool bent = false;  // in any channel

    explicit LineTable(size_t count)
        : channels(count), repeat(count < 64 ? 64 / count : 1), knee(channels * repeat) {
        for (int side = 0; side < 2; ++side) {
            slope[side] = Buffer<Real>(channels * repeat);
            offset[side] = Buffer<Real>(channels * repeat);
        }
    }
    void set(size_t channel, const Knee<Real>& found) {
        bent |= found.lines[0].slope != found.lines[1].slope ||
                found.lines[0].offset != found.lines[1].offset;
        for (size_t c = channel; c < channels * repeat; c += channels) {
            knee[c] = found.at;
            for (int side = 0; side < 2; ++side) {
                slope[side][c] = found.lines[side].slope;
                offset[side][c] = found.lines[side].offset;
            }
        }
    }
};

// The level of a line's value, from 0 to top.
template <class Real>
INLINE inline std::int32_t level_of(Real v, Real top) {
    v = v > 0 ? v : 0;
    return static_cast<std::int32_t>(v < top ? v : top);
}

// which ? a : b, without a branch: compilers vectorise it for every level.
template <class Real>
INLINE inline Real select(bool which, Real a, Real b) {
    using Bits = std::conditional_t<sizeof(Real) == 4, std::int32_t, int64_t>;
    const Bits mask = -static_cast<Bits>(which);
    Bits one, other;
    std::memcpy(&one, &a, sizeof(Real));
    std::memcpy(&other, &b, sizeof(Real));
    one = (one & mask) | (other & ~mask);
    std::memcpy(&a, &one, sizeof(Real));
    return a;
}

template <class X, class Y, class Real>
void follow_rows(const LineTable<Real>& table, const X* x, size_t pixels, size_t channels,
                 Real top, std::int32_t first, Y* y) {
    if (!table.bent)
        return dispatch(
            [](const Real* a, const Real* b, const X* x, size_t pixels, size_t channels, Real top,
               std::int32_t first, Y* y) INLINE {
                for (; pixels > 0; --pixels, x += channels, y += channels)
#pragma GCC ivdep
                    for (size_t c = 0; c < channels; ++c)
                        y[c] = static_cast<Y>(
                            first + level_of(a[c] * static_cast<Real>(x[c]) + b[c], top));
            },
            table.slope[0].get(), table.offset[0].get(), x, pixels, channels, top, first, y);
    dispatch(
        [](const Real* knee, const Real* a, const Real* b, const Real* a2, const Real* b2,
           const X* x, size_t pixels, size_t channels, Real top, std::int32_t first, Y* y) INLINE {
            for (; pixels > 0; --pixels, x += channels, y += channels)
#pragma GCC ivdep
                for (size_t c = 0; c < channels; ++c) {
                    const Real v = static_cast<Real>(x[c]);
                    const Real left = a[c] * v + b[c], right = a2[c] * v + b2[c];
                    y[c] = static_cast<Y>(first + level_of(select(v >= knee[c], right, left), top));
                }
        },
        table.knee.get(), table.slope[0].get(), table.offset[0].get(), table.slope[1].get(),
        table.offset[1].get(), x, pixels, channels, top, first, y);
}

template <class X, class Y, class Real>
void follow_lines(const LineTable<Real>& table, const X* x, size_t pixels, Real top,
                  std::int32_t first, Y* y) {
    const size_t row = table.channels * table.repeat, rows = pixels / table.repeat;
    follow_rows(table, x, rows, row, top, first, y);
    follow_rows(table, x + rows * row, pixels % table.repeat, table.channels, top, first,
                y + rows * row);
}

// Many thresholds.
template <class L, class In, class Out>
struct many_thresholds {
    static constexpr size_t C = In::C, steps = L::thresholds::dims[1];
    static constexpr int64_t lo = In::Type::lo, hi = In::Type::hi, offset = L::offset;
    using X = typename In::Element;
    using Y = typename Out::Element;

    // Channels that are no lines: y by x - lo where that is a small table, else the thresholds.
    static constexpr size_t entries = hi - lo < 65536 ? static_cast<size_t>(hi - lo) + 1 : 0;
    static constexpr bool tabled = entries > 0 && C * entries * sizeof(Y) <= size_t{1} << 24;
    std::vector<size_t> bent;
    std::vector<std::vector<Y>> tables;
    std::vector<std::vector<int64_t>> searched;

    LineTable<float> narrow{C};
    LineTable<double> wide{C};
    bool precise = false;  // double serves more channels than float

    explicit many_thresholds(const Params& params) {
        const typename L::thresholds thresholds(params);
        std::vector<std::vector<int64_t>> rows(C);
        for (size_t c = 0; c < C; ++c)
            for (size_t i = 0; i < steps; ++i) rows[c].push_back(thresholds(c, i));
        precise = hi > 1 << 24 || lo < -(1 << 24);  // float holds every x between
        if (!precise) bent = fit(rows, narrow);
        if (precise || !bent.empty()) {
            const std::vector<size_t> others = fit(rows, wide);
            precise |= others.size() < bent.size();
            if (precise) bent = others;
        }
        for (const size_t c : bent) {
            if constexpr (tabled) {
                std::vector<Y>& table = tables.emplace_back();
                for (int64_t x = lo; x <= hi; ++x) table.push_back(search(rows[c], x));
            } else {
                searched.push_back(rows[c]);
            }
        }
    }

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        const size_t pixels = n * In::pixels;
        if (bent.size() < C) {
            constexpr auto first = static_cast<std::int32_t>(offset);
            if (precise)
                follow_lines(wide, in.data, pixels, double{steps}, first, out.data);
            else
                follow_lines(narrow, in.data, pixels, float{steps}, first, out.data);
        }
        for (size_t pixel = 0; pixel < pixels && !bent.empty(); ++pixel)
            for (size_t i = 0; i < bent.size(); ++i) {
                const X x = in.data[pixel * C + bent[i]];
                Y& y = out.data[pixel * C + bent[i]];
                if constexpr (tabled)
                    y = tables[i][static_cast<size_t>(x - lo)];
                else
                    y = search(searched[i], x);
            }
    }

   private:
    template <class Real>
    static std::vector<size_t> fit(const std::vector<std::vector<int64_t>>& rows,
                                   LineTable<Real>& table) {
        std::vector<size_t> failed;
        Knee<Real> found;
        for (size_t c = 0; c < C; ++c)
            if (LineFit<Real>(rows[c], lo, hi).fit(found))
                table.set(c, found);
            else
                failed.push_back(c);
        return failed;
    }
    static Y search(const std::vector<int64_t>& row, int64_t x) {
        return static_cast<Y>(offset + (std::upper_bound(row.begin(), row.end(), x) - row.begin()));
    }
};

template <class L, class In, class Out>
using threshold = std::conditional_t<
    (In::plain && Out::packed && L::thresholds::dims[1] == 1 && L::offset == 0),
    sign_threshold<L, In, Out>,
    std::conditional_t<(L::thresholds::dims[1] <= 8 || !In::plain || !Out::plain),
                       few_thresholds<L, In, Out>, many_thresholds<L, In, Out>>>;
