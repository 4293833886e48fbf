// cppsim: runs the integer network of model.hpp on images.
//
//   ./cppsim input.npy output.npy [--dump DIR] [--threads N] [--repeat R] [--simd LEVEL]
//            [--profile] [--params FILE]
//
// input: integers (N, H, W, C); output: the network's integers (N, H, W, C). Prints one line with
// images, seconds and images/s (loading and saving not counted). --profile runs on one thread and
// prints what every layer takes, in the best of R runs. Exit status 2 on any error.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "cppsim.h"
#include "npy.hpp"

namespace {

using std::int64_t;
using std::size_t;

struct Options {
    std::string input, output, dump, params, simd = "auto";
    size_t threads = std::max(1u, std::thread::hardware_concurrency());
    size_t repeat = 1;
    bool profile = false;
};

constexpr const char* kUsage =
    "usage: cppsim input.npy output.npy [--dump DIR] [--threads N] [--repeat R] [--simd LEVEL] "
    "[--profile] [--params FILE]";

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
        if (word == "--profile") {
            options.profile = true;
            continue;
        }
        const std::string value = i + 1 < argc ? argv[++i] : "";
        if (word == "--dump" && !value.empty()) options.dump = value;
        else if (word == "--params" && !value.empty()) options.params = value;
        else if (word == "--simd" && !value.empty()) options.simd = value;
        else if (word == "--threads") options.threads = positive(word, value);
        else if (word == "--repeat") options.repeat = positive(word, value);
        else throw npy::Error(kUsage);
    }
    if (files.size() != 2) throw npy::Error(kUsage);
    options.input = files[0];
    options.output = files[1];
    return options;
}

void require(const char* wrong) {
    if (wrong) throw npy::Error(wrong);
}

npy::Shape shape_of(size_t frames, const CppsimTensor& tensor) {
    return {frames, static_cast<size_t>(tensor.height), static_cast<size_t>(tensor.width),
            static_cast<size_t>(tensor.channels)};
}

// Images in the bytes that the network reads.
struct Images {
    size_t frames;
    std::vector<char> bytes;
};

// Read as T, kept as U.
template <class T, class U>
Images load(const std::string& path, const CppsimTensor& input) {
    const npy::Array<T> images = npy::load<T>(path);
    const npy::Shape& shape = images.shape;
    if (shape.size() != 4 || shape != shape_of(shape[0], input))
        throw npy::Error(path + " has shape " + npy::text(shape) + ", the network reads (N, " +
                         std::to_string(input.height) + ", " + std::to_string(input.width) + ", " +
                         std::to_string(input.channels) + ")");
    std::vector<char> bytes(images.values.size() * sizeof(U));
    char* to = bytes.data();
    for (const T value : images.values) {
        if (value < input.lo || value > input.hi)
            throw npy::Error(path + " holds " + std::to_string(value) + ", outside [" +
                             std::to_string(input.lo) + ", " + std::to_string(input.hi) + "]");
        const U kept = static_cast<U>(value);
        std::memcpy(to, &kept, sizeof(U));
        to += sizeof(U);
    }
    return {shape[0], std::move(bytes)};
}

Images load_images(const std::string& path, const CppsimTensor& input) {
    switch (input.bytes) {
        case 1:
            return input.lo < 0 ? load<std::int8_t, std::int8_t>(path, input)
                                : load<std::uint8_t, std::uint8_t>(path, input);
        case 2: return load<int64_t, std::int16_t>(path, input);
        case 4: return load<int64_t, std::int32_t>(path, input);
        default: return load<int64_t, int64_t>(path, input);
    }
}

// Every tensor of all frames, for --dump.
class Dump {
   public:
    Dump(const std::string& folder, size_t frames) : folder_(folder), frames_(frames) {
        std::error_code failed;
        std::filesystem::create_directories(folder, failed);
        if (failed) throw npy::Error("cannot make " + folder + ": " + failed.message());
    }
    static void record(void* self, const CppsimTensor* tensor, int64_t first, int64_t frames,
                       const int64_t* values) {
        static_cast<Dump*>(self)->add(*tensor, static_cast<size_t>(first),
                                      static_cast<size_t>(frames), values);
    }
    void save() const {
        for (const auto& [name, tensor] : tensors_)
            npy::save(folder_ + "/" + name + ".npy", tensor.shape, tensor.values);
    }

   private:
    void add(const CppsimTensor& tensor, size_t first, size_t frames, const int64_t* values) {
        npy::Array<int64_t>& array = tensors_[tensor.name];
        array.shape = shape_of(frames_, tensor);
        const size_t size = array.shape[1] * array.shape[2] * array.shape[3];
        array.values.resize(frames_ * size);
        std::copy_n(values, frames * size, array.values.data() + first * size);
    }

    std::string folder_;
    size_t frames_;
    std::map<std::string, npy::Array<int64_t>> tensors_;
};

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

void print_profile(const std::vector<double>& seconds, double images) {
    double total = 0;
    for (const double s : seconds) total += s;
    const double rate = cppsim_clock_rate();
    std::printf("%-36s %-13s %10s %7s %16s\n", "layer", "kind", "us/image", "share",
                "binary MAC/cycle");
    const auto line = [&](const char* name, const char* kind, double s, double macs) {
        std::printf("%-36s %-13s %10.2f %6.1f%%", name, kind, 1e6 * s / images,
                    100 * s / std::max(total, 1e-12));
        if (macs > 0) std::printf(" %16.1f", macs * images / (s * rate));
        std::printf("\n");
    };
    int64_t count;
    const CppsimLayer* const layers = cppsim_layers(&count);
    double binary_seconds = 0, binary_macs = 0;
    for (size_t i = 0; i < seconds.size(); ++i) {
        const double macs = static_cast<double>(layers[i].binary_macs);
        line(layers[i].name, layers[i].kind, seconds[i], macs);
        if (macs > 0) binary_seconds += seconds[i], binary_macs += macs;
    }
    if (binary_macs > 0) line("all binary layers", "", binary_seconds, binary_macs);
    line("all layers", "", total, 0);
    std::printf("a core of %.2f GHz\n", rate / 1e9);
}

void save(const std::string& path, const npy::Shape& shape, const std::vector<int64_t>& values,
          const CppsimTensor& tensor) {
    if (tensor.lo >= INT32_MIN && tensor.hi <= INT32_MAX)
        npy::save(path, shape, std::vector<std::int32_t>(values.begin(), values.end()));
    else
        npy::save(path, shape, values);
}

void run(const Options& options) {
    require(cppsim_check_simd(options.simd.c_str()));
    CppsimModel* opened = nullptr;
    require(cppsim_open(options.params.c_str(), &opened));
    const std::unique_ptr<CppsimModel, void (*)(CppsimModel*)> model(opened, cppsim_close);
    const Images images = load_images(options.input, *cppsim_input());
    const npy::Shape shape = shape_of(images.frames, *cppsim_output());
    std::vector<int64_t> outputs(images.frames * shape[1] * shape[2] * shape[3]);
    int64_t layers;
    cppsim_layers(&layers);
    std::vector<double> layer_seconds(static_cast<size_t>(layers));

    CppsimRun job = {};
    job.images = images.bytes.data();
    job.frames = static_cast<int64_t>(images.frames);
    job.outputs = outputs.data();
    job.threads = static_cast<int64_t>(options.threads);
    job.simd = options.simd.c_str();
    std::vector<double> pass_seconds(layer_seconds.size());
    if (options.profile) job.layer_seconds = pass_seconds.data();
    const Clock::time_point start = Clock::now();
    for (size_t pass = 0; pass < options.repeat; ++pass) {
        std::fill(pass_seconds.begin(), pass_seconds.end(), 0.0);
        require(cppsim_run(model.get(), &job));
        for (size_t i = 0; i < layer_seconds.size(); ++i)
            layer_seconds[i] = std::min(pass ? layer_seconds[i] : HUGE_VAL, pass_seconds[i]);
    }
    const double seconds = seconds_since(start);

    if (!options.dump.empty()) {
        Dump dump(options.dump, images.frames);
        job.layer_seconds = nullptr;
        job.record = Dump::record;
        job.context = &dump;
        require(cppsim_run(model.get(), &job));
        dump.save();
    }
    save(options.output, shape, outputs, *cppsim_output());
    const double count = static_cast<double>(images.frames * options.repeat);
    if (options.profile) print_profile(layer_seconds, static_cast<double>(images.frames));
    std::printf("images %.0f  seconds %.6f  images/s %.1f\n", count, seconds,
                count / std::max(seconds, 1e-9));
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
