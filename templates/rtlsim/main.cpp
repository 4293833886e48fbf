// Sends frames through the Verilated design over AXI4-Stream; design.h describes the design.
//
// usage: rtlsim input.npy output.npy [--seed S] [--idle P] [--stall P] [--dump DIR] [--trace FILE]
//
// Prints one "name value" line for every measurement. A cycle is counted from one rising clock
// edge to the next, the first one after reset being cycle 0.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vhwgen_top.h"
#include "Vhwgen_top__Dpi.h"
#include "design.h"
#include "npy.hpp"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Waves = VerilatedFstC;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using Waves = VerilatedVcdC;
#endif

#ifndef HWGEN_RTL  // where the memory files lie, seen from the folder of the program
#define HWGEN_RTL "../rtl"
#endif

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kResetCycles = 4, kDrainCycles = 64;

struct UserError : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct DesignError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Options {
    std::string input, output, dump, trace;
    std::uint64_t seed = 0;
    double idle = 0, stall = 0;
};

struct Random {  // splitmix64
    std::uint64_t state;
    std::uint64_t next() {
        std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    bool chance(double p) { return p > 0 && double(next() >> 11) < p * 9007199254740992.0; }
};

// 32-bit words of a beat, and of all frames.
std::size_t words_per_beat(const Tensor& t) { return (t.lanes * t.bits + 31) / 32; }
std::size_t words(const Tensor& t, std::size_t frames) {
    return frames * t.h * t.w * t.c / t.lanes * words_per_beat(t);
}

struct Run {
    std::vector<std::uint8_t> output;        // bus bytes
    std::vector<std::uint64_t> frame_ends;   // cycle of every frame's last output beat
    std::uint64_t first_input = 0, cycles = 0;
    double seconds = 0;
};

std::vector<std::uint32_t> recorded[std::size(kStreams)];  // beats, 32-bit words each
std::string stuck_full, stuck_empty;
unsigned int most_held[std::size(kStreams)];  // beats in a stream's FIFO

double share(const std::string& name, const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end || !(value >= 0 && value < 1))
        throw UserError(name + " " + text + " is not a share of at least 0 and less than 1");
    return value;
}

Options parse(int argc, char** argv) {
    Options options;
    std::vector<std::string> names;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word.compare(0, 2, "--") != 0) {
            names.push_back(word);
            continue;
        }
        if (word != "--seed" && word != "--idle" && word != "--stall" && word != "--dump" &&
            word != "--trace")
            throw UserError("unknown option " + word);
        if (++i == argc) throw UserError(word + " needs a value");
        if (word == "--seed") {
            const std::string text = argv[i];
            if (text.empty() || text.size() > 18 ||
                text.find_first_not_of("0123456789") != std::string::npos)
                throw UserError("--seed " + text + " is not an integer from 0 to 10^18 - 1");
            options.seed = std::stoull(text);
        }
        if (word == "--idle") options.idle = share(word, argv[i]);
        if (word == "--stall") options.stall = share(word, argv[i]);
        if (word == "--dump") options.dump = fs::absolute(argv[i]).string();
        if (word == "--trace") options.trace = fs::absolute(argv[i]).string();
    }
    if (names.size() != 2)
        throw UserError("usage: rtlsim input.npy output.npy [--seed S] [--idle P] [--stall P] "
                        "[--dump DIR] [--trace FILE]");
#if !VM_TRACE
    if (!options.trace.empty())
        throw UserError("--trace needs a program built with --trace-vcd or --trace-fst");
#endif
    options.input = names[0];
    options.output = fs::absolute(names[1]).string();
    return options;
}

// Bus bytes of all frames.
std::vector<std::uint8_t> pack(const npy::Array<std::int64_t>& x, const std::string& path) {
    const Edge& e = kInput;
    if (x.shape.size() != 4 || x.shape[1] != e.h || x.shape[2] != e.w || x.shape[3] != e.c ||
        x.shape[0] == 0)
        throw UserError(path + " has shape " + npy::text(x.shape) + "; the design reads (N, " +
                        std::to_string(e.h) + ", " + std::to_string(e.w) + ", " +
                        std::to_string(e.c) + ") with N at least 1");
    const std::int64_t lo = e.is_signed ? -(std::int64_t(1) << (e.bits - 1)) : 0;
    const std::int64_t hi = (std::int64_t(1) << (e.bits - e.is_signed)) - 1;
    const std::size_t size = e.h * e.w * e.c;
    std::vector<std::uint8_t> bytes(x.shape[0] * e.beats * e.bus_bytes, 0);
    for (std::size_t i = 0; i < x.values.size(); ++i) {
        if (x.values[i] < lo || x.values[i] > hi)
            throw UserError(path + " holds " + std::to_string(x.values[i]) + "; the design reads " +
                            std::to_string(lo) + " to " + std::to_string(hi));
        std::memcpy(&bytes[i / size * e.beats * e.bus_bytes + i % size * e.element_bytes],
                    &x.values[i], e.element_bytes);
    }
    return bytes;
}

std::int64_t extend(std::uint64_t raw, std::size_t bits, bool is_signed) {
    const std::uint64_t sign = std::uint64_t(1) << (bits - 1);
    return is_signed ? std::int64_t(raw ^ sign) - std::int64_t(sign) : std::int64_t(raw);
}

std::vector<std::int64_t> unpack(const std::vector<std::uint8_t>& bytes, std::size_t frames) {
    const Edge& e = kOutput;
    const std::size_t size = e.h * e.w * e.c;
    std::vector<std::int64_t> values(frames * size);
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint64_t raw = 0;
        std::memcpy(&raw, &bytes[i / size * e.beats * e.bus_bytes + i % size * e.element_bytes],
                    e.element_bytes);
        values[i] = extend(raw, 8 * e.element_bytes, e.is_signed);
    }
    return values;
}

// The design with its clock, and the rules of AXI4-Stream on its output.
class Bench {
  public:
    Bench(const Options& options, const std::vector<std::uint8_t>& input, std::size_t frames)
        : options_(options), input_(input), frames_(frames), random_{options.seed} {
        context_.randReset(2);  // registers without reset start at random values
        context_.randSeed(int(options.seed % 0x7fffffff) + 1);
        context_.traceEverOn(!options.trace.empty());
        top_ = std::make_unique<Vhwgen_top>(&context_);
        open_waves();
        total_ = frames * kOutput.beats;
        patience_ = std::uint64_t(double(kPatience) / ((1 - options.idle) * (1 - options.stall)));
    }

    Run run() {
        reset();
        const auto start = std::chrono::steady_clock::now();
        run_.output.reserve(total_ * kOutput.bus_bytes);
        while (received_ < total_) {
            if (step()) quiet_ = 0;
            else if (++quiet_ > patience_) give_up();
        }
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
        run_.seconds = spent.count();
        run_.cycles = cycle_;
        // What no output depends on, rows that a stride skips, may still be on its way.
        const bool recording = !options_.dump.empty();
        for (std::uint64_t i = 0; i < patience_ && recording && !complete(); ++i) step();
        for (std::size_t i = 0; i < kDrainCycles; ++i) step();
        top_->probe_report_i = 1;
        step();
        top_->final();
        close_waves();
        return std::move(run_);
    }

  private:
    bool complete() const {
        for (const Tensor& t : kTensors)
            if (recorded[t.stream].size() < words(t, frames_)) return false;
        return true;
    }

    void reset() {
        top_->aresetn = 0;
        top_->probe_record_i = 0;
        top_->probe_report_i = 0;
        top_->s_axis_tvalid = 0;
        top_->m_axis_tready = 0;
        for (std::size_t i = 0; i < kResetCycles; ++i) clock();
        top_->aresetn = 1;
        top_->probe_record_i = !options_.dump.empty();
    }

    void clock() {
        level(0);
        level(1);
    }

    // Half a cycle, five units of time in a trace.
    void level(std::uint8_t aclk) {
        top_->aclk = aclk;
        top_->eval();
#if VM_TRACE
        if (waves_) waves_->dump(5 * halves_++);
#endif
    }

    void open_waves() {
#if VM_TRACE
        if (options_.trace.empty()) return;
        waves_ = std::make_unique<Waves>();
        top_->trace(waves_.get(), 99);
        waves_->open(options_.trace.c_str());
        if (!waves_->isOpen()) throw UserError("cannot write " + options_.trace);
#endif
    }

    void close_waves() {
#if VM_TRACE
        if (waves_) waves_->close();
#endif
    }

    // One cycle; true when a beat moved.
    bool step() {
        if (!offering_ && sent_ < frames_ * kInput.beats && !random_.chance(options_.idle)) offer();
        top_->s_axis_tvalid = offering_;
        top_->m_axis_tready = !random_.chance(options_.stall);
        level(0);
        bool moved = false;
        if (offering_ && top_->s_axis_tready) {
            if (sent_ == 0) run_.first_input = cycle_;
            ++sent_;
            offering_ = false;
            moved = true;
        }
        moved |= receive();
        level(1);
        ++cycle_;
        return moved;
    }

    void offer() {
        offering_ = true;
        std::memcpy(&top_->s_axis_tdata, &input_[sent_ * kInput.bus_bytes], kInput.bus_bytes);
        const std::size_t beat = sent_ % kInput.beats;
        top_->s_axis_tlast = beat == kInput.beats - 1;
        const std::size_t used = kInput.h * kInput.w * kInput.c * kInput.element_bytes;
        set_keep(std::min(kInput.bus_bytes, used - beat * kInput.bus_bytes));
    }

    void set_keep(std::size_t bytes) {
        std::uint8_t keep[(kInput.bus_bytes + 7) / 8] = {};
        for (std::size_t i = 0; i < bytes; ++i) keep[i / 8] |= std::uint8_t(1u << (i % 8));
        std::memcpy(&top_->s_axis_tkeep, keep, sizeof keep);
    }

    bool receive() {
        const bool valid = top_->m_axis_tvalid, ready = top_->m_axis_tready;
        if (!valid) {
            if (waiting_) fail("takes m_axis_tvalid back before m_axis_tready");
            return false;
        }
        Beat beat;
        std::memcpy(beat.data, &top_->m_axis_tdata, kOutput.bus_bytes);
        std::memcpy(beat.keep, &top_->m_axis_tkeep, sizeof beat.keep);
        beat.last = top_->m_axis_tlast;
        if (waiting_ && std::memcmp(&beat, &held_, sizeof beat) != 0)
            fail("changes m_axis while it is stalled");
        waiting_ = !ready;
        held_ = beat;
        if (ready) accept(beat);
        return ready;
    }

    struct Beat {
        std::uint8_t data[kOutput.bus_bytes];
        std::uint8_t keep[(kOutput.bus_bytes + 7) / 8];
        std::uint8_t last;
    };

    void accept(const Beat& beat) {
        if (received_ == total_) fail("sends more beats than its frames have");
        const std::size_t at = received_ % kOutput.beats;
        const bool last = at == kOutput.beats - 1;
        const std::size_t used = kOutput.h * kOutput.w * kOutput.c * kOutput.element_bytes;
        const std::size_t kept = std::min(kOutput.bus_bytes, used - at * kOutput.bus_bytes);
        if (beat.last != last) fail("has m_axis_tlast " + std::to_string(beat.last) + " in beat " +
                                    std::to_string(at) + " of a frame");
        for (std::size_t i = 0; i < kOutput.bus_bytes; ++i) {
            if ((beat.keep[i / 8] >> (i % 8) & 1) != (i < kept))
                fail("has a wrong m_axis_tkeep in beat " + std::to_string(at) + " of a frame");
            if (i >= kept && beat.data[i]) fail("does not pad the last beat with zeros");
        }
        run_.output.insert(run_.output.end(), beat.data, beat.data + kOutput.bus_bytes);
        if (last) run_.frame_ends.push_back(cycle_);
        ++received_;
    }

    [[noreturn]] void fail(const std::string& what) {
        close_waves();
        throw DesignError("the design " + what + " (cycle " + std::to_string(cycle_) + ", " +
                          std::to_string(received_) + " beats out)");
    }

    [[noreturn]] void give_up() {
        top_->probe_report_i = 1;
        step();
        fail("is deadlocked: no beat in or out for " + std::to_string(patience_) +
             " cycles, " + std::to_string(sent_) + " of " +
             std::to_string(frames_ * kInput.beats) + " beats in; full:" +
             (stuck_full.empty() ? " none" : stuck_full) + "; empty:" +
             (stuck_empty.empty() ? " none" : stuck_empty));
    }

    const Options& options_;
    const std::vector<std::uint8_t>& input_;
    const std::size_t frames_;
    Random random_;
    VerilatedContext context_;
    std::unique_ptr<Vhwgen_top> top_;
#if VM_TRACE
    std::unique_ptr<Waves> waves_;
    std::uint64_t halves_ = 0;
#endif
    std::uint64_t cycle_ = 0, quiet_ = 0, patience_ = 0;
    std::size_t sent_ = 0, received_ = 0, total_ = 0;
    bool offering_ = false, waiting_ = false;
    Beat held_{};
    Run run_;
};

void dump(const std::string& folder, std::size_t frames) {
    fs::create_directories(folder);
    for (const Tensor& t : kTensors) {
        const std::vector<std::uint32_t>& got = recorded[t.stream];
        const std::size_t per_beat = words_per_beat(t), size = frames * t.h * t.w * t.c;
        if (got.size() != words(t, frames))
            throw DesignError("the design sends " + std::to_string(got.size() / per_beat) +
                              " beats of " + t.name + " instead of " +
                              std::to_string(size / t.lanes));
        std::vector<std::int64_t> values(size);
        for (std::size_t i = 0; i < size; ++i) {
            const std::size_t bit = i % t.lanes * t.bits;
            const std::size_t at = i / t.lanes * per_beat + bit / 32;
            std::uint64_t two = got[at];
            if (bit / 32 + 1 < per_beat) two |= std::uint64_t(got[at + 1]) << 32;
            const std::uint64_t mask = (std::uint64_t(1) << t.bits) - 1;
            values[i] = extend(two >> (bit % 32) & mask, t.bits, t.is_signed);
        }
        npy::save(folder + "/" + t.name + ".npy", {frames, t.h, t.w, t.c}, values);
    }
}

void print(const Run& run) {
    const std::vector<std::uint64_t>& ends = run.frame_ends;
    const std::size_t frames = ends.size();
    std::printf("total_cycles %llu\n", (unsigned long long)(ends.back() - run.first_input + 1));
    std::printf("latency_cycles %llu\n", (unsigned long long)(ends[0] - run.first_input + 1));
    if (frames > 1) {
        const std::uint64_t interval = ends[frames - 1] - ends[frames - 2];
        std::size_t equal = 1;
        while (equal + 1 < frames &&
               ends[frames - 1 - equal] - ends[frames - 2 - equal] == interval)
            ++equal;
        std::printf("cycles_per_frame %llu\n", (unsigned long long)interval);
        std::printf("equal_intervals %zu\n", equal);
    }
    std::printf("simulated_cycles_per_second %.0f\n", double(run.cycles) / run.seconds);
    for (std::size_t i = 0; i < std::size(kStreams); ++i)
        std::printf("most_held_%zu %u\n", i, most_held[i]);
}

// The memory files are read in the first eval, by names relative to the working directory.
void enter_rtl_folder() {
    const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path() / HWGEN_RTL;
    for (const char* const* name = kMemories; *name; ++name)
        if (access((folder / *name).c_str(), R_OK) != 0)
            throw UserError("cannot read the memory file " + (folder / *name).lexically_normal()
                                                                 .string());
    fs::current_path(folder);
}

}  // namespace

void hwgen_record(unsigned int stream, unsigned int word) { recorded[stream].push_back(word); }

void hwgen_report(unsigned int stream, svBit s_valid, svBit s_ready, svBit m_valid, svBit,
                  unsigned int most) {
    const Stream& s = kStreams[stream];
    most_held[stream] = most;
    if (s_valid && !s_ready)
        stuck_full += std::string(" ") + s.name + " (depth " + std::to_string(s.depth) + ")";
    if (!m_valid) stuck_empty += std::string(" ") + s.name;
}

int main(int argc, char** argv) {
    try {
        const Options options = parse(argc, argv);
        const npy::Array<std::int64_t> x = npy::load<std::int64_t>(options.input);
        const std::vector<std::uint8_t> input = pack(x, options.input);
        enter_rtl_folder();
        const Run run = Bench(options, input, x.shape[0]).run();
        npy::save(options.output, {x.shape[0], kOutput.h, kOutput.w, kOutput.c},
                  unpack(run.output, x.shape[0]));
        if (!options.dump.empty()) dump(options.dump, x.shape[0]);
        print(run);
        return 0;
    } catch (const DesignError& error) {
        std::fprintf(stderr, "rtlsim: %s\n", error.what());
        return 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "rtlsim: %s\n", error.what());
        return 2;
    }
}
