// Popcounts without an instruction for them; included by lanes.hpp once for every such level, whose
// Vector and count_bytes() it uses.
//
// Differing bits of eight words are added up by full adders, bit by bit, before ones are counted
// (a carry-save adder tree): seven adders of five operations, and one count in place of eight.

// sum + a + b = sum' + 2 carry in every bit.
inline void full_adder(Vector& sum, Vector& carry, Vector a, Vector b) {
    const Vector half = a ^ b;
    carry = (a & b) | (half & sum);
    sum ^= half;
}

// The sum of the four bytes of every lane.
inline Vector sum_of_bytes(Vector v) {
    v = (v & 0x00ff00ffu) + (v >> 8 & 0x00ff00ffu);
    return (v & 0xffffu) + (v >> 16);
}

// Differing bits of `rows` words x and of lanes w, [row][lane of 16].
inline Vector differing(const Word* x, const Word* w, size_t rows) {
    const auto bits = [&](size_t i) {
        return x[i] ^ *reinterpret_cast<const Vector*>(w + i * kLanes);
    };
    Vector ones = {}, twos = {}, fours = {}, eights = {}, total = {};
    size_t i = 0, since = 0;
    for (; i + 8 <= rows; i += 8) {
        Vector two[2], four[2], eight;
        full_adder(ones, two[0], bits(i), bits(i + 1));
        full_adder(ones, two[1], bits(i + 2), bits(i + 3));
        full_adder(twos, four[0], two[0], two[1]);
        full_adder(ones, two[0], bits(i + 4), bits(i + 5));
        full_adder(ones, two[1], bits(i + 6), bits(i + 7));
        full_adder(twos, four[1], two[0], two[1]);
        full_adder(fours, eight, four[0], four[1]);
        eights += count_bytes(eight);
        if (++since == 31) {  // a byte holds 31 times 8
            total += sum_of_bytes(eights);
            eights ^= eights;
            since = 0;
        }
    }
    Vector rest = count_bytes(ones) + 2 * count_bytes(twos) + 4 * count_bytes(fours);
    for (; i < rows; ++i) rest += count_bytes(bits(i));
    return 8 * (total + sum_of_bytes(eights)) + sum_of_bytes(rest);
}

template <class Y>
[[gnu::noinline]] void xnor_product(const LaneJob& job, Y* out) {
    constexpr size_t kPixels = 8, kStep = sizeof(Vector) / sizeof(Word);
    const size_t rows = job.words();
    const Layout& l = job.layout;
    std::vector<Word> patches(kPixels * rows);
    Walk<unsigned char> walk(job.x, l);
    for (size_t pixel = 0; pixel < job.pixels; pixel += kPixels, out += kPixels * job.channels) {
        const size_t count = std::min(kPixels, job.pixels - pixel);
        for (size_t p = 0; p < count; ++p) {
            const unsigned char* const x = walk.next();
            for (size_t run = 0; run < l.runs; ++run)
                std::memcpy(patches.data() + p * rows + run * l.length, x + run * l.step,
                            l.length * sizeof(Word));
        }
        for (size_t m = 0; m < job.channels; m += kStep) {
            const Word* const w = job.weights + m / kLanes * rows * kLanes + m % kLanes;
            const size_t lanes = std::min(kStep, job.channels - m);
            for (size_t p = 0; p < count; ++p) {
                const Vector wrong = differing(patches.data() + p * rows, w, rows);
                for (size_t lane = 0; lane < lanes; ++lane)
                    out[p * job.channels + m + lane] =
                        static_cast<Y>(job.start[m + lane] - wrong[lane]);
            }
        }
    }
}
