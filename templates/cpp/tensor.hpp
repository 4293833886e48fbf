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
// have in ops.py. A tensor of UInt<1> is packed 32 channels to a word (bits behind the last
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

// The smallest signed integer that holds `lo` to `hi`.
template <int64_t lo, int64_t hi>
using Signed = std::conditional_t<
    (lo >= INT8_MIN && hi <= INT8_MAX), std::int8_t,
    std::conditional_t<(lo >= INT16_MIN && hi <= INT16_MAX), std::int16_t,
                       std::conditional_t<(lo >= INT32_MIN && hi <= INT32_MAX), std::int32_t,
                                          int64_t>>>;

// The types of IntType. `lo` to `hi` are the values that can occur, often fewer than have room.
template <int kBits, int64_t kLo = -(int64_t{1} << (kBits - 1)), int64_t kHi = -(kLo + 1)>
struct Int {
    static constexpr int bits = kBits;
    static constexpr int64_t lo = kLo, hi = kHi;
    using Element = Signed<-(int64_t{1} << (kBits - 1)), (int64_t{1} << (kBits - 1)) - 1>;
};

template <int kBits, int64_t kLo = 0, int64_t kHi = (int64_t{1} << kBits) - 1>
struct UInt {
    static_assert(kBits < 63);
    static constexpr int bits = kBits;
    static constexpr int64_t lo = kLo, hi = kHi;
    using Element = std::conditional_t<
        kBits <= 8, std::uint8_t,
        std::conditional_t<kBits <= 16, std::uint16_t,
                           std::conditional_t<kBits <= 32, std::uint32_t, std::int64_t>>>;
};

// Sums modulo 2^32 (2^64) are exact for results that the type holds, in any order of adding.
template <class Type>
using Accumulator =
    std::conditional_t<sizeof(typename Type::Element) <= 4, std::uint32_t, uint64_t>;

constexpr size_t kLine = 64;  // bytes of a cache line, and of the widest vector
constexpr size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Memory aligned to a cache line, zero at first; a vector may read past its end.
template <class T>
class Buffer {
   public:
    Buffer() = default;
    explicit Buffer(size_t count) {
        const size_t bytes = round_up(count * sizeof(T), kLine) + kLine;
        data_.reset(static_cast<T*>(std::aligned_alloc(kLine, bytes)));
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

using Word = std::uint32_t;  // of bits
constexpr size_t kWordBits = 32;
constexpr size_t words(size_t bits) { return (bits + kWordBits - 1) / kWordBits; }

// Where the inputs of a product lie in memory. Those of an output pixel are `runs` runs of `length`
// units, `step` apart; `column` units lead to the next pixel, `row` to the next row of pixels.
struct Layout {
    size_t height, width;             // output pixels
    size_t frame, row, column;        // units
    size_t runs, length, step;
};

// What all representations share.
template <class Type_, size_t kH, size_t kW, size_t kC>
struct Shape {
    using Type = Type_;
    using Element = typename Type::Element;  // of a channel, when unpacked
    static constexpr bool packed = std::is_same_v<Type, UInt<1>>;
    static constexpr size_t H = kH, W = kW, C = kC, pixels = kH * kW, size = pixels * kC;
};

// One frame after the other, in memory of the workspace.
template <class Type, size_t kH, size_t kW, size_t kC>
struct Tensor : Shape<Type, kH, kW, kC> {
    using Base = Shape<Type, kH, kW, kC>;
    using typename Base::Element;
    using Base::packed;
    using Unit = std::conditional_t<packed, Word, Element>;  // of memory
    static constexpr bool view = false, plain = !packed;     // plain: an array of elements
    static constexpr size_t stride = packed ? words(kC) : kC;  // units a pixel
    static constexpr size_t frame_units = kH * kW * stride;
    static constexpr size_t frame_bytes = frame_units * sizeof(Unit);
    static constexpr Layout layout = {1, kH * kW, frame_units, frame_units, stride, 1, stride, 0};

    Unit* data;
    explicit Tensor(void* memory) : data(static_cast<Unit*>(memory)) {}

    Element at(size_t pixel, size_t c) const {
        if constexpr (packed)
            return static_cast<Element>(data[pixel * stride + c / kWordBits] >> c % kWordBits & 1);
        else
            return data[pixel * kC + c];
    }

    // Writes a pixel: channel c becomes value(c).
    template <class F>
    void store(size_t pixel, F&& value) const {
        store_part(pixel, 0, kC, value);
    }

    // Writes `count` channels from `first` on: channel first + i becomes value(i). The part that
    // begins with channel 0 comes first, since it clears the bits behind the last channel.
    template <class F>
    void store_part(size_t pixel, size_t first, size_t count, F&& value) const {
        if constexpr (packed) {
            if (first == 0) std::memset(data + pixel * stride, 0, stride * sizeof(Unit));
            for (size_t i = 0; i < count; ++i) {
                Word& word = data[pixel * stride + (first + i) / kWordBits];
                const size_t bit = (first + i) % kWordBits;
                word = (word & ~(Word{1} << bit)) | static_cast<Word>(value(i)) << bit;
            }
        } else {
            for (size_t i = 0; i < count; ++i)
                data[pixel * kC + first + i] = static_cast<Element>(value(i));
        }
    }
};

// The patches of a sliding window, taps ordered (ky, kx, c): a view of the padded image.
template <class In, class Type_, size_t kKernel, size_t kStride, size_t kPad>
struct Patches : Shape<Type_, (In::H + 2 * kPad - kKernel) / kStride + 1,
                       (In::W + 2 * kPad - kKernel) / kStride + 1, kKernel * kKernel * In::C> {
    using Base = Shape<Type_, (In::H + 2 * kPad - kKernel) / kStride + 1,
                       (In::W + 2 * kPad - kKernel) / kStride + 1, kKernel * kKernel * In::C>;
    using Image = Tensor<Type_, In::H + 2 * kPad, In::W + 2 * kPad, In::C>;
    using Unit = typename Image::Unit;
    using typename Base::Element;
    static constexpr bool view = true, plain = false;
    static constexpr size_t frame_bytes = Image::frame_bytes;
    static constexpr Layout layout = {
        Base::H, Base::W,
        Image::frame_units, kStride * Image::W * Image::stride, kStride * Image::stride,
        kKernel, kKernel * Image::stride, Image::W * Image::stride};

    Image image;
    Unit* data;
    explicit Patches(void* memory) : image(memory), data(image.data) {}

    Element at(size_t pixel, size_t k) const {
        const size_t frame = pixel / Base::pixels, place = pixel % Base::pixels, tap = k / In::C;
        const size_t y = place / Base::W * kStride + tap / kKernel;
        const size_t x = place % Base::W * kStride + tap % kKernel;
        return image.at((frame * Image::H + y) * Image::W + x, k % In::C);
    }
};

// Where input k of a product lies within a pixel's runs: unit, and bit of it for bits.
struct Place {
    size_t unit, bit;
};
template <class Type, size_t kH, size_t kW, size_t kC>
constexpr Place place_of(const Tensor<Type, kH, kW, kC>*, size_t k) {
    return Tensor<Type, kH, kW, kC>::packed ? Place{k / kWordBits, k % kWordBits} : Place{k, 0};
}
template <class In, class Type, size_t kKernel, size_t kStride, size_t kPad>
constexpr Place place_of(const Patches<In, Type, kKernel, kStride, kPad>*, size_t k) {
    using Image = typename Patches<In, Type, kKernel, kStride, kPad>::Image;
    const Place within = place_of(static_cast<const Image*>(nullptr), k % In::C);
    return {k / In::C * Image::stride + within.unit, within.bit};
}

// Visits the pixels of all frames in order: where each one's runs begin.
template <class T>
class Walk {
   public:
    Walk(const T* data, const Layout& layout)
        : layout_(layout), frame_(data), row_(data), at_(data) {}
    const T* next() {
        const T* const found = at_;
        at_ += layout_.column;
        if (++x_ == layout_.width) {
            x_ = 0;
            row_ += layout_.row;
            if (++y_ == layout_.height) {
                y_ = 0;
                row_ = frame_ += layout_.frame;
            }
            at_ = row_;
        }
        return found;
    }

   private:
    const Layout layout_;
    const T *frame_, *row_, *at_;
    size_t x_ = 0, y_ = 0;
};

// A slot of a workspace: bytes a frame that hold any one of its tensors.
template <class... Tensors>
constexpr size_t slot_bytes() {
    size_t most = 0;
    for (const size_t bytes : {Tensors::frame_bytes...}) most = bytes > most ? bytes : most;
    return round_up(most, kLine);
}
template <size_t kCount>
constexpr size_t start_of(const size_t (&slots)[kCount], size_t slot) {
    size_t start = 0;
    for (size_t i = 0; i < slot; ++i) start += slots[i];
    return start;
}
constexpr size_t kSlack = 256;  // bytes that vectors may read past the last tensor

// Binary multiply-accumulates of a layer kind in a frame; 0 where it does not say.
template <class Layer>
constexpr int64_t binary_macs(decltype(Layer::binary_macs)) {
    return static_cast<int64_t>(Layer::binary_macs);
}
template <class Layer>
constexpr int64_t binary_macs(...) {
    return 0;
}

// The bytes of params.bin.
struct Params {
    std::vector<char> bytes;
};

// An array of constants: elements of type E from byte kOffset on, dimensions kDims.
template <class E, size_t kOffset, size_t... kDims>
class Array {
   public:
    using Element = E;
    static constexpr size_t dims[] = {kDims...};
    static constexpr size_t count = (kDims * ... * 1);

    explicit Array(const Params& params) : bytes_(params.bytes.data() + kOffset) {}
    int64_t operator()(size_t i) const {
        E value;
        std::memcpy(&value, bytes_ + i * sizeof(E), sizeof(E));
        return value;
    }
    int64_t operator()(size_t i, size_t j) const { return (*this)(i * dims[1] + j); }

   private:
    const char* bytes_;
};
