// Staircase per channel: y = offset + number of thresholds T[c, i] with x >= T[c, i], ascending.
#pragma once

#include <algorithm>

#include "tensor.hpp"

template <class L, class In, class Out>
struct threshold {
    static constexpr size_t C = In::C, steps = L::thresholds::dims[1];
    static constexpr int64_t lo = In::Type::lo, hi = In::Type::hi, offset = L::offset;
    using Y = typename Out::Element;

    // Three ways to count, all exact: compare with every threshold where they are few, look y up
    // where every x of every channel has a place in a table, and search otherwise.
    enum Way { compare, table, search };
    static constexpr size_t entries = hi - lo < 65536 ? static_cast<size_t>(hi - lo) + 1 : 0;
    static constexpr bool small = entries > 0 && C * entries * sizeof(Y) <= size_t{1} << 22;
    static constexpr Way way = steps <= 4 ? compare : small ? table : search;

    explicit threshold(const Params& params) {
        const typename L::thresholds t(params);
        if constexpr (way == compare) prepare_compare(t);
        if constexpr (way == table) prepare_table(t);
        if constexpr (way == search) prepare_search(t);
    }

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        for (size_t pixel = 0; pixel < n * In::pixels; ++pixel)
            out.store(pixel, [&](size_t c) {
                const Wide x = static_cast<Wide>(in.at(pixel, c));
                if constexpr (way == compare) return compared(c, x);
                if constexpr (way == table) return looked_up(c, x);
                if constexpr (way == search) return searched(c, x);
            });
    }

   private:
    using Thresholds = typename L::thresholds;

    // Holds lo to hi + 1, where hi + 1 is a threshold that no x reaches.
    using Wide = std::conditional_t<(lo >= INT32_MIN && hi < INT32_MAX), std::int32_t, int64_t>;
    static Wide reachable(int64_t t) {
        return static_cast<Wide>(t < lo ? lo : t > hi ? hi + 1 : t);
    }

    Buffer<Wide> level;           // compare: [step][channel]; search: [channel][step]
    Buffer<Y> lookup;             // table: [channel][x - lo]

    void prepare_compare(const Thresholds& t) {
        level = Buffer<Wide>(steps * C);
        for (size_t i = 0; i < steps; ++i)
            for (size_t c = 0; c < C; ++c) level[i * C + c] = reachable(t(c, i));
    }
    Wide compared(size_t c, Wide x) const {
        Wide y = static_cast<Wide>(offset);
        for (size_t i = 0; i != steps; ++i) y += x >= level[i * C + c];
        return y;
    }

    void prepare_table(const Thresholds& t) {
        lookup = Buffer<Y>(C * entries);
        for (size_t c = 0; c < C; ++c) {
            int64_t passed = 0;
            for (int64_t x = lo; x <= hi; ++x) {
                while (passed < int64_t{steps} && x >= t(c, static_cast<size_t>(passed))) ++passed;
                lookup[c * entries + static_cast<size_t>(x - lo)] = static_cast<Y>(offset + passed);
            }
        }
    }

    Y looked_up(size_t c, Wide x) const {
        return lookup[c * entries + static_cast<size_t>(x - lo)];
    }

    // search: the range between a channel's first and last threshold is cut into equal parts that
    // know how many thresholds lie before them; the few within a part are searched by halves.
    static constexpr size_t parts = [] {
        size_t size = 64;
        while (size < 2 * steps) size *= 2;
        return size;
    }();
    struct Reach {
        int64_t first;
        int shift;  // a part is 1 << shift wide
    };
    Buffer<Reach> reach;           // [channel]
    Buffer<std::uint32_t> before;  // [channel][part]
    size_t row = 0;                // of level: steps and enough out of reach behind them
    size_t top = 0;                // the first half

    static size_t part_of(const Reach& r, int64_t x) {
        const int64_t part = x < r.first ? 0 : (x - r.first) >> r.shift;
        return std::min(static_cast<size_t>(part), parts - 1);
    }

    void prepare_search(const Thresholds& t) {
        reach = Buffer<Reach>(C);
        before = Buffer<std::uint32_t>(C * parts);
        size_t most = 0;
        for (size_t c = 0; c < C; ++c) {
            size_t passed = 0, end = steps;  // between those always and those never passed
            while (passed < end && t(c, passed) <= lo) ++passed;
            while (passed < end && t(c, end - 1) > hi) --end;
            Reach& r = reach[c] = {passed < end ? t(c, passed) : lo, 0};
            const int64_t width = passed < end ? t(c, end - 1) - r.first : 0;
            while (width >> r.shift >= int64_t{parts}) ++r.shift;
            for (size_t part = 0; part < parts; ++part) {
                const int64_t start = r.first + (static_cast<int64_t>(part) << r.shift);
                while (part > 0 && passed < end && t(c, passed) <= start) ++passed;
                before[c * parts + part] = static_cast<std::uint32_t>(passed);
                size_t within = passed;
                while (within < end && part_of(r, t(c, within)) == part) ++within;
                most = std::max(most, within - passed);
            }
        }
        for (top = 1; 2 * top <= most; top *= 2) {}
        row = steps + 2 * top;
        level = Buffer<Wide>(C * row);
        for (size_t c = 0; c < C; ++c)
            for (size_t i = 0; i < row; ++i)
                level[c * row + i] = reachable(i < steps ? t(c, i) : hi + 1);
    }
    int64_t searched(size_t c, Wide x) const {
        size_t passed = before[c * parts + part_of(reach[c], x)];
        const Wide* const levels = level.get() + c * row;
        for (size_t half = top; half > 0; half /= 2)
            passed += x >= levels[passed + half - 1] ? half : 0;
        return offset + static_cast<int64_t>(passed);
    }
};
