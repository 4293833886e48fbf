// The channels of all inputs, pixel by pixel, the first input's first.
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include "tensor.hpp"

template <class L, class... Tensors>  // the inputs, then the output
struct concat {
    explicit concat(const Params&) {}

    template <class... Arguments>
    [[gnu::noinline]] void operator()(size_t n, Arguments&... tensors) const {
        const std::tuple<Arguments&...> all(tensors...);
        join(n, all, std::make_index_sequence<sizeof...(Tensors) - 1>());
    }

   private:
    template <class All, size_t... kInputs>
    static void join(size_t n, const All& all, std::index_sequence<kInputs...>) {
        const auto& out = std::get<sizeof...(kInputs)>(all);
        for (size_t pixel = 0; pixel < n * out.pixels; ++pixel) {
            size_t first = 0;
            (append(pixel, first, std::get<kInputs>(all), out), ...);
        }
    }

    template <class In, class Out>
    static void append(size_t pixel, size_t& first, const In& in, const Out& out) {
        if constexpr (In::plain && Out::plain)
            std::copy_n(in.data + pixel * In::C, In::C, out.data + pixel * Out::C + first);
        else
            out.store_part(pixel, first, In::C, [&](size_t c) { return in.at(pixel, c); });
        first += In::C;
    }
};
