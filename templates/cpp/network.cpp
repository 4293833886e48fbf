// The network of model.hpp as the library of cppsim.h: frames in batches, over threads.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cppsim.h"
#include "model.hpp"
#include "params.hpp"

namespace {

// Frames a call of a layer: as many as keep all tensors in the second level cache.
constexpr size_t kBatch = std::clamp<size_t>((size_t{1} << 19) / Workspace::frame_bytes, 1, 16);

template <class T>
constexpr CppsimTensor describe(const char* name) {
    return {name,         int64_t{T::H}, int64_t{T::W},
            int64_t{T::C}, T::Type::lo,   T::Type::hi,
            int64_t{sizeof(typename T::Type::Element)}};
}

constexpr CppsimTensor kInput = describe<Input>(kInputName);
constexpr CppsimTensor kOutput = describe<Output>(kOutputName);

template <class T>
void unpack(const T& tensor, size_t n, int64_t* to) {
    for (size_t pixel = 0; pixel < n * T::pixels; ++pixel)
        for (size_t c = 0; c < T::C; ++c) *to++ = static_cast<int64_t>(tensor.at(pixel, c));
}

void require_range(const Input::Type::Element* images, size_t frames) {
    const auto [least, most] = std::minmax_element(images, images + frames * Input::size);
    for (const auto* const value : {least, most})
        if (frames && (*value < Input::Type::lo || *value > Input::Type::hi))
            throw std::runtime_error("the input holds " + std::to_string(*value) + ", outside [" +
                                     std::to_string(Input::Type::lo) + ", " +
                                     std::to_string(Input::Type::hi) + "]");
}

using Clock = std::chrono::steady_clock;

// What forward() calls when a tensor is made.
class Watch {
   public:
    Watch(const CppsimRun& run, size_t first, size_t n)
        : run_(run), first_(first), n_(n), last_(Clock::now()) {}

    template <class T>
    void operator()(int layer, const char* name, const T& tensor) {
        if (run_.layer_seconds && layer >= 0) {
            const Clock::time_point now = Clock::now();
            run_.layer_seconds[layer] += std::chrono::duration<double>(now - last_).count();
        }
        if (run_.record) {
            std::vector<int64_t> values(n_ * T::size);
            unpack(tensor, n_, values.data());
            const CppsimTensor what = describe<T>(name);
            run_.record(run_.context, &what, static_cast<int64_t>(first_),
                        static_cast<int64_t>(n_), values.data());
        }
        if (run_.layer_seconds) last_ = Clock::now();
    }

   private:
    const CppsimRun& run_;
    size_t first_, n_;
    Clock::time_point last_;
};

}  // namespace

struct CppsimModel {
    Model model;

    explicit CppsimModel(const Params& params) : model(params) {}

    void run(const CppsimRun& run) {
        const auto* const images = static_cast<const Input::Type::Element*>(run.images);
        const size_t frames = static_cast<size_t>(run.frames);
        require_range(images, frames);
        const Simd level = parse_simd(run.simd);
        const bool alone = run.record || run.layer_seconds || run.threads < 1;
        const size_t threads = std::min(alone ? 1 : static_cast<size_t>(run.threads),
                                        std::max<size_t>(1, (frames + kBatch - 1) / kBatch));
        std::vector<std::unique_ptr<Workspace>> workspaces;
        for (size_t i = 0; i < threads; ++i) workspaces.push_back(take());
        std::atomic<size_t> next{0};
        const auto work = [&](Workspace& w) {
            simd_level = level;
            if (frames == 0) batch(run, w, images, 0, 0);  // a record sees the tensors' shapes
            for (size_t first; (first = next.fetch_add(kBatch)) < frames;)
                batch(run, w, images, first, std::min(kBatch, frames - first));
        };
        std::vector<std::thread> others;
        for (size_t i = 1; i < threads; ++i)
            others.emplace_back([&, i] { work(*workspaces[i]); });
        work(*workspaces[0]);
        for (std::thread& other : others) other.join();
        const std::lock_guard<std::mutex> lock(mutex_);
        for (auto& w : workspaces) idle_.push_back(std::move(w));
    }

   private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Workspace>> idle_;  // of earlier runs

    std::unique_ptr<Workspace> take() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (idle_.empty()) return std::make_unique<Workspace>(kBatch);
        std::unique_ptr<Workspace> w = std::move(idle_.back());
        idle_.pop_back();
        return w;
    }

    void batch(const CppsimRun& run, Workspace& w, const Input::Type::Element* images,
               size_t first, size_t n) const {
        const auto* const from = images + first * Input::size;
        if constexpr (Input::plain)
            std::copy_n(from, n * Input::size, w.input().data);
        else
            for (size_t pixel = 0; pixel < n * Input::pixels; ++pixel)
                w.input().store(pixel, [&](size_t c) { return from[pixel * Input::C + c]; });
        if (run.record || run.layer_seconds)
            forward(n, model, w, Watch(run, first, n));
        else
            forward(n, model, w, [](int, const char*, const auto&) {});
        unpack(w.output(), n, run.outputs + first * Output::size);
    }
};

namespace {

// Runs what may throw; what it throws in words.
template <class F>
const char* in_words(F&& f) {
    static thread_local std::string message;
    try {
        f();
        return nullptr;
    } catch (const std::exception& error) {
        message = error.what();
        return message.c_str();
    }
}

}  // namespace

const CppsimTensor* cppsim_input() { return &kInput; }
const CppsimTensor* cppsim_output() { return &kOutput; }
const char* cppsim_best_simd() { return name_of(best_simd()); }

// From a chain of instructions that take a cycle each; the best of trials, which others disturb.
double cppsim_clock_rate() {
    constexpr int kSteps = 500000;
    double most = 0;
    for (int trial = 0; trial < 20; ++trial) {
        uint64_t x = 12345;
        const Clock::time_point start = Clock::now();
        for (int i = 0; i < kSteps; ++i) {
            x += x >> 1;  // a shift and an addition
            asm volatile("" : "+r"(x));
        }
        most = std::max(most, 2 * kSteps / std::chrono::duration<double>(Clock::now() - start).count());
    }
    return most;
}

const char* cppsim_check_simd(const char* simd) {
    return in_words([&] { parse_simd(simd); });
}

const CppsimLayer* cppsim_layers(int64_t* count) {
    *count = static_cast<int64_t>(std::size(kLayers));
    return kLayers;
}

const char* cppsim_open(const char* params, CppsimModel** model) {
    return in_words(
        [&] { *model = new CppsimModel(load_params(params, kParamsBytes, kParamsCrc)); });
}

void cppsim_close(CppsimModel* model) { delete model; }

const char* cppsim_run(CppsimModel* model, const CppsimRun* run) {
    return in_words([&] { model->run(*run); });
}
