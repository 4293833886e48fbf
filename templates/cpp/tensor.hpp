// Tensors of integers (N, H, W, C), channels fastest, and the constants of layers.
//
// A layer kind x is a class template in x.hpp, named as the function of ops.py that it equals:
//
//   template <class L, class In, class Out> struct x {      // types of its inputs, then outputs
//       explicit x(const Params& params);                   // reads L's arrays, prepares them
//       void operator()(size_t n, const In& in, Out& out) const;      // n frames
//   };
//
// L holds the layer's scalars as constants and its arrays as Array types, by the names that they
// have in ops.py. A tensor of UInt<1> is packed 64 channels to a word (bits behind the last
// channel of a pixel are 0); all others hold one element a channel. at() and store() hide which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

using std::int64_t;
using std::size_t;
using std::uint64_t;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a little-endian machine is needed");

// The types of IntType: `lo` to `hi` are the values that can occur.
template <int kBits>
struct Int {
    static constexpr int64_t lo = -(int64_t{1} << (kBits - 1)), hi = -(lo + 1);
    using Element = std::conditional_t<
        kBits <= 8, std::int8_t,
        std::conditional_t<kBits <= 16, std::int16_t,
                           std::conditional_t<kBits <= 32, std::int32_t, std::int64_t>>>;
};

template <int kBits>
struct UInt {
    static_assert(kBits < 63);
    static constexpr int64_t lo = 0, hi = (int64_t{1} << kBits) - 1;
    using Element = std::conditional_t<
        kBits <= 8, std::uint8_t,
        std::conditional_t<kBits <= 16, std::uint16_t,
                           std::conditional_t<kBits <= 32, std::uint32_t, std::int64_t>>>;
};

// Sums modulo 2^32 (2^64) are exact for results that the type holds, in any order of adding.
template <class Type>
using Accumulator =
    std::conditional_t<sizeof(typename Type::Element) <= 4, std::uint32_t, uint64_t>;

// Memory aligned to a cache line, zero at first.
template <class T>
class Buffer {
   public:
    Buffer() = default;
    explicit Buffer(size_t count) {
        const size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
        data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes ? bytes : 64)));
        if (!data_) throw std::bad_alloc();
        std::memset(static_cast<void*>(data_.get()), 0, bytes);
    }
    T* get() const { return data_.get(); }
    T& operator[](size_t i) const { return data_.get()[i]; }

   private:
    struct Free {
        void operator()(T* data) const { std::free(data); }
    };
    std::unique_ptr<T[], Free> data_;
};

constexpr size_t words(size_t bits) { return (bits + 63) / 64; }

// What both representations share.
template <class Type_, size_t kH, size_t kW, size_t kC>
struct Shape {
    using Type = Type_;
    using Element = typename Type::Element;  // of a channel, when unpacked
    static constexpr size_t H = kH, W = kW, C = kC, pixels = kH * kW, size = pixels * kC;
};

// One element a channel.
template <class Type, size_t kH, size_t kW, size_t kC>
struct Tensor : Shape<Type, kH, kW, kC> {
    using Element = typename Type::Element;
    using Unit = Element;                      // of memory
    static constexpr bool packed = false;
    static constexpr size_t stride = kC;       // units a pixel
    static constexpr size_t frame_bytes = kH * kW * stride * sizeof(Unit);

    Buffer<Unit> data;
    explicit Tensor(size_t frames) : data(frames * kH * kW * stride) {}

    Element at(size_t pixel, size_t c) const { return data[pixel * kC + c]; }

    // Writes a pixel: channel c becomes value(c).
    template <class F>
    void store(size_t pixel, F&& value) const {
        Element* const to = data.get() + pixel * kC;
#pragma GCC ivdep
        for (size_t c = 0; c < kC; ++c) to[c] = static_cast<Element>(value(c));
    }

    // Writes `count` channels from `first` on: channel first + i becomes value(i).
    template <class F>
    void store_part(size_t pixel, size_t first, size_t count, F&& value) const {
        Element* const to = data.get() + pixel * kC + first;
#pragma GCC ivdep
        for (size_t i = 0; i < count; ++i) to[i] = static_cast<Element>(value(i));
    }
};

// Bits, 64 channels to a word.
template <size_t kH, size_t kW, size_t kC>
struct Tensor<UInt<1>, kH, kW, kC> : Shape<UInt<1>, kH, kW, kC> {
    using Element = std::uint8_t;
    using Unit = uint64_t;
    static constexpr bool packed = true;
    static constexpr size_t stride = words(kC);
    static constexpr size_t frame_bytes = kH * kW * stride * sizeof(Unit);

    Buffer<Unit> data;
    explicit Tensor(size_t frames) : data(frames * kH * kW * stride) {}

    Element at(size_t pixel, size_t c) const {
        return static_cast<Element>(data[pixel * stride + c / 64] >> (c % 64) & 1);
    }

    template <class F>
    void store(size_t pixel, F&& value) const {
        alignas(64) std::uint8_t flags[stride * 64];
        std::memset(flags + kC, 0, stride * 64 - kC);
#pragma GCC ivdep
        for (size_t c = 0; c < kC; ++c) flags[c] = static_cast<std::uint8_t>(value(c));
        for (size_t word = 0; word < stride; ++word)
            data[pixel * stride + word] = pack(flags + 64 * word);
    }

    template <class F>
    void store_part(size_t pixel, size_t first, size_t count, F&& value) const {
        for (size_t i = 0; i < count; ++i) {
            uint64_t& word = data[pixel * stride + (first + i) / 64];
            const size_t bit = (first + i) % 64;
            word = (word & ~(uint64_t{1} << bit)) | static_cast<uint64_t>(value(i)) << bit;
        }
    }

   private:
    // 64 bytes of 0 or 1 to a word: the product moves byte i of eight to bit 56 + i.
    static uint64_t pack(const std::uint8_t* flags) {
        uint64_t out = 0;
        for (size_t byte = 0; byte < 8; ++byte) {
            uint64_t eight;
            std::memcpy(&eight, flags + 8 * byte, 8);
            out |= (eight * 0x0102040810204080u >> 56) << (8 * byte);
        }
        return out;
    }
};

// The bytes of params.bin.
struct Params {
    std::vector<char> bytes;
};

// An array of constants: elements of type E from byte kOffset on, dimensions kDims.
template <class E, size_t kOffset, size_t... kDims>
class Array {
   public:
    static constexpr size_t dims[] = {kDims...};
    static constexpr size_t count = (kDims * ... * 1);

    explicit Array(const Params& params) : values_(count) {
        if (count) std::memcpy(values_.data(), params.bytes.data() + kOffset, count * sizeof(E));
    }
    int64_t operator()(size_t i) const { return values_[i]; }
    int64_t operator()(size_t i, size_t j) const { return values_[i * dims[1] + j]; }

   private:
    std::vector<E> values_;
};
