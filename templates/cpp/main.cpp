// cppsim: runs the integer network of model.hpp on images.
//
//   ./cppsim input.npy output.npy [--dump DIR] [--threads N] [--repeat R] [--params FILE]
//
// input: integers (N, H, W, C); output: the network's integers (N, H, W, C). Prints one line with
// images, seconds and images/s (loading and saving not counted). Exit status 2 on any error.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include "model.hpp"
#include "npy.hpp"
#include "params.hpp"

namespace {

struct Options {
    std::string input, output, dump, params;
    size_t threads = std::max(1u, std::thread::hardware_concurrency());
    size_t repeat = 1;
};

constexpr const char* kUsage =
    "usage: cppsim input.npy output.npy [--dump DIR] [--threads N] [--repeat R] [--params FILE]";

size_t positive(const std::string& name, const std::string& text) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    const size_t value = digits && text.size() < 8 ? std::stoul(text) : 0;
    if (value == 0) throw npy::Error(name + " takes a number from 1 on, not '" + text + "'");
    return value;
}

// params.bin lies beside the program.
std::string default_params(const char* program) {
    std::error_code failed;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failed);
    return ((failed ? std::filesystem::path(program) : self).parent_path() / "params.bin").string();
}

Options parse(int argc, char** argv) {
    Options options;
    options.params = default_params(argv[0]);
    std::vector<std::string> files;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word.compare(0, 2, "--") != 0) {
            files.push_back(word);
            continue;
        }
        const std::string value = i + 1 < argc ? argv[++i] : "";
        if (word == "--dump" && !value.empty()) options.dump = value;
        else if (word == "--params" && !value.empty()) options.params = value;
        else if (word == "--threads") options.threads = positive(word, value);
        else if (word == "--repeat") options.repeat = positive(word, value);
        else throw npy::Error(kUsage);
    }
    if (files.size() != 2) throw npy::Error(kUsage);
    options.input = files[0];
    options.output = files[1];
    return options;
}

npy::Array<Input::Element> load_images(const std::string& path) {
    npy::Array<Input::Element> images = npy::load<Input::Element>(path);
    const npy::Shape& shape = images.shape;
    if (shape.size() != 4 || shape[1] != Input::H || shape[2] != Input::W || shape[3] != Input::C)
        throw npy::Error(path + " has shape " + npy::text(shape) + ", the network reads (N, " +
                         std::to_string(Input::H) + ", " + std::to_string(Input::W) + ", " +
                         std::to_string(Input::C) + ")");
    for (const Input::Element value : images.values)
        if (value < Input::Type::lo || value > Input::Type::hi)
            throw npy::Error(path + " holds " + std::to_string(value) + ", outside [" +
                             std::to_string(Input::Type::lo) + ", " +
                             std::to_string(Input::Type::hi) + "]");
    return images;
}

// What numpy gets of a tensor: int32 where that holds every value.
template <class T>
using Saved = std::conditional_t<(T::Type::lo >= INT32_MIN && T::Type::hi <= INT32_MAX),
                                 std::int32_t, int64_t>;

template <class T, class V>
void unpack(const T& tensor, size_t n, V* to) {
    for (size_t pixel = 0; pixel < n * T::pixels; ++pixel)
        for (size_t c = 0; c < T::C; ++c) *to++ = static_cast<V>(tensor.at(pixel, c));
}

// Every tensor of all frames, for --dump.
class Dump {
   public:
    Dump(const std::string& folder, const Model& model, size_t frames) : folder_(folder) {
        if (folder.empty()) return;
        std::error_code failed;
        std::filesystem::create_directories(folder, failed);
        if (failed) throw npy::Error("cannot make " + folder + ": " + failed.message());
        // Running no frames names the tensors; threads only look them up.
        Workspace none(0);
        forward(0, model, none, [&](const char* name, const auto& tensor) {
            using T = std::decay_t<decltype(tensor)>;
            tensors_[name] = {{frames, T::H, T::W, T::C}, std::vector<int64_t>(frames * T::size)};
        });
    }
    template <class T>
    void record(const char* name, const T& tensor, size_t first, size_t n) {
        unpack(tensor, n, tensors_.at(name).values.data() + first * T::size);
    }
    void save() const {
        for (const auto& [name, tensor] : tensors_)
            npy::save(folder_ + "/" + name + ".npy", tensor.shape, tensor.values);
    }
    bool wanted() const { return !folder_.empty(); }

   private:
    std::string folder_;
    std::map<std::string, npy::Array<int64_t>> tensors_;
};

// Frames a call: as many as keep all tensors in the second level cache.
constexpr size_t kBatch =
    std::min<size_t>(16, std::max<size_t>(1, (size_t{1} << 18) / Workspace::frame_bytes));

// Takes batches of frames until none is left.
void work(const Model& model, Workspace& w, const npy::Array<Input::Element>& images,
          std::vector<Saved<Output>>& results, Dump& dump, std::atomic<size_t>& next) {
    const size_t frames = images.shape[0];
    for (size_t first; (first = next.fetch_add(kBatch)) < frames;) {
        const size_t n = std::min(kBatch, frames - first);
        const Input::Element* const from = images.values.data() + first * Input::size;
        for (size_t pixel = 0; pixel < n * Input::pixels; ++pixel)
            w.input().store(pixel, [&](size_t c) { return from[pixel * Input::C + c]; });
        if (dump.wanted())
            forward(n, model, w, [&](const char* name, const auto& tensor) {
                dump.record(name, tensor, first, n);
            });
        else
            forward(n, model, w, [](const char*, const auto&) {});
        unpack(w.output(), n, results.data() + first * Output::size);
    }
}

void run(const Options& options) {
    const auto model =
        std::make_unique<Model>(load_params(options.params, kParamsBytes, kParamsCrc));
    const npy::Array<Input::Element> images = load_images(options.input);
    const size_t frames = images.shape[0];
    const size_t threads = std::min(options.threads, std::max<size_t>(1, frames / kBatch));
    std::vector<Saved<Output>> results(frames * Output::size);
    std::vector<Workspace> workspaces;
    for (size_t i = 0; i < threads; ++i) workspaces.emplace_back(kBatch);
    Dump dump(options.dump, *model, frames);

    const auto start = std::chrono::steady_clock::now();
    for (size_t pass = 0; pass < options.repeat; ++pass) {
        std::atomic<size_t> next{0};
        std::vector<std::thread> others;
        for (size_t i = 1; i < threads; ++i)
            others.emplace_back([&, i] {
                work(*model, workspaces[i], images, results, dump, next);
            });
        work(*model, workspaces[0], images, results, dump, next);
        for (std::thread& other : others) other.join();
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

    npy::save(options.output, {frames, Output::H, Output::W, Output::C}, results);
    if (dump.wanted()) dump.save();
    const double images_run = static_cast<double>(frames * options.repeat);
    std::printf("images %.0f  seconds %.6f  images/s %.1f\n", images_run, seconds,
                images_run / std::max(seconds, 1e-9));
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(parse(argc, argv));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cppsim: %s\n", error.what());
        return 2;
    }
    return 0;
}
