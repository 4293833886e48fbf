// Products of bytes without an instruction for four of them; included by lanes.hpp once for every
// such level, whose Vector and dot() it uses.

template <size_t kP, class Y>
void dot_tile(const LaneJob& job, Walk<unsigned char>& walk, size_t m, Y* out) {
    constexpr size_t kStep = sizeof(Vector) / sizeof(Word);
    const Word* w = job.weights + m / kLanes * job.words() * kLanes + m % kLanes;
    const unsigned char* x[kP];
    Vector sums[kP];
    for (size_t p = 0; p < kP; ++p) {
        x[p] = walk.next();
        sums[p] = *reinterpret_cast<const Vector*>(job.start + m);
    }
    for (size_t run = 0; run < job.layout.runs; ++run)
        for (size_t i = 0; i < job.layout.length; ++i, w += kLanes)
            for (size_t p = 0; p < kP; ++p)
                sums[p] = dot(sums[p],
                              load_word(x[p] + run * job.layout.step + i * sizeof(Word)) ^ job.flip,
                              *reinterpret_cast<const Vector*>(w));
    const size_t lanes = std::min(kStep, job.channels - m);
    for (size_t p = 0; p < kP; ++p)
        for (size_t lane = 0; lane < lanes; ++lane)
            out[p * job.channels + m + lane] = static_cast<Y>(sums[p][lane]);
}

template <class Y>
[[gnu::noinline]] void dot_product(const LaneJob& job, Y* out) {
    constexpr size_t kStep = sizeof(Vector) / sizeof(Word);
    for (size_t m = 0; m < job.channels; m += kStep) {
        Walk<unsigned char> walk(job.x, job.layout);
        size_t pixel = 0;
        for (; pixel + 4 <= job.pixels; pixel += 4)
            dot_tile<4>(job, walk, m, out + pixel * job.channels);
        for (; pixel < job.pixels; ++pixel)
            dot_tile<1>(job, walk, m, out + pixel * job.channels);
    }
}
