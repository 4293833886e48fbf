// Element-wise difference of two tensors of one shape.
#pragma once

#include "simd.hpp"
#include "tensor.hpp"

template <class A, class B, class Y>
void subtract_arrays(const A* a, const B* b, size_t count, Y* y) {
    using Wide = std::conditional_t<(sizeof(A) < 4 && sizeof(B) < 4), std::int32_t, int64_t>;
    dispatch(
        [](const A* a, const B* b, size_t count, Y* y) INLINE {
#pragma GCC ivdep
            for (size_t i = 0; i < count; ++i)
                y[i] = static_cast<Y>(static_cast<Wide>(a[i]) - static_cast<Wide>(b[i]));
        },
        a, b, count, y);
}

template <class L, class A, class B, class Out>
struct subtract {
    explicit subtract(const Params&) {}

    // Operands may reach further than their difference.
    [[gnu::noinline]] void operator()(size_t n, const A& a, const B& b, Out& out) const {
        if constexpr (A::plain && B::plain && Out::plain)
            subtract_arrays(a.data, b.data, n * Out::size, out.data);
        else
            for (size_t pixel = 0; pixel < n * Out::pixels; ++pixel)
                out.store(pixel, [&](size_t c) {
                    return int64_t{a.at(pixel, c)} - int64_t{b.at(pixel, c)};
                });
    }
};
