// The board, simulated: the Verilated top behind a pseudo-terminal, which a host opens as its port.
//
// usage: uartsim [--seed S] [--skew R] [--counts FILE] [faults]
//
// The first line printed is the terminal's name. Bytes go over the serial pins bit by bit, at
// HWGEN_CLOCKS_A_BIT clocks a bit as the host's side of the line has it, times 1 + R. Runs until
// SIGTERM or SIGINT, or until the process that started it ends; then writes to FILE how many
// bytes, clocks and faults there were, as JSON.
//
// Faults, drawn with seed S, in both directions (probabilities):
//   --noise P       of a bit of a byte, start and stop bit included, to be flipped
//   --drop P        of a byte to be lost
//   --repeat P      of a byte to come twice
//   --garbage P     of 1 to 64 random bytes in front of a byte
//   --replay P      of one of the host's last 8 data frames to come again, behind a frame
//   --reset N       resets the board after every N bytes of the host
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vhwgen_uart_top.h"
#include "design.h"
#include "verilated.h"

#ifndef HWGEN_RTL  // where the memory files lie, seen from the folder of the program
#define HWGEN_RTL "../rtl"
#endif

namespace fs = std::filesystem;

namespace {

constexpr double kClocksABit = HWGEN_CLOCKS_A_BIT;
constexpr std::uint8_t kFlag = 0x7E;
constexpr int kBitsAByte = 10;             // with start and stop bit
constexpr std::uint64_t kPollClocks = 64;  // between two looks at the terminal
constexpr int kResetClocks = 8;
constexpr std::size_t kGarbage = 64, kQueue = 4096, kRecent = 8;
constexpr std::uint8_t kStream = 3;  // kind of frames that carry data

volatile std::sig_atomic_t stopping = 0;

struct Random {  // splitmix64
    std::uint64_t state;
    std::uint64_t next() {
        std::uint64_t z = (state += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    bool chance(double p) { return p > 0 && double(next() >> 11) * 0x1p-53 < p; }
};

struct Options {
    std::uint64_t seed = 0, reset = 0;
    double skew = 0, noise = 0, drop = 0, repeat = 0, garbage = 0, replay = 0;
    std::string counts;
};

struct Counts {
    std::uint64_t clocks = 0, bytes_in = 0, bytes_out = 0;
    std::uint64_t noise = 0, drop = 0, repeat = 0, garbage = 0, replay = 0, reset = 0;
};

Options parse(int argc, char** argv) {
    Options o;
    for (int i = 1; i < argc; i += 2) {
        const std::string word = argv[i];
        if (i + 1 == argc) throw std::runtime_error(word + " needs a value");
        const std::string value = argv[i + 1];
        if (word == "--seed") o.seed = std::stoull(value);
        else if (word == "--reset") o.reset = std::stoull(value);
        else if (word == "--skew") o.skew = std::stod(value);
        else if (word == "--noise") o.noise = std::stod(value);
        else if (word == "--drop") o.drop = std::stod(value);
        else if (word == "--repeat") o.repeat = std::stod(value);
        else if (word == "--garbage") o.garbage = std::stod(value);
        else if (word == "--replay") o.replay = std::stod(value);
        else if (word == "--counts") o.counts = fs::absolute(value).string();
        else throw std::runtime_error("unknown option " + word);
    }
    return o;
}

// The master of a pseudo-terminal. A slave stays open here, so that hosts may come and go.
class Terminal {
  public:
    Terminal() {
        master_ = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
        if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0)
            throw std::runtime_error(std::string("no pseudo-terminal: ") + std::strerror(errno));
        name_ = ptsname(master_);
        slave_ = open(name_.c_str(), O_RDWR | O_NOCTTY);
        termios raw;
        if (slave_ < 0 || tcgetattr(slave_, &raw) != 0)
            throw std::runtime_error("cannot open " + name_ + ": " + std::strerror(errno));
        cfmakeraw(&raw);
        tcsetattr(slave_, TCSANOW, &raw);
    }
    ~Terminal() {
        close(slave_);
        close(master_);
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    const std::string& name() const { return name_; }

    std::vector<std::uint8_t> read_some() {
        std::vector<std::uint8_t> bytes(256);
        const ssize_t count = read(master_, bytes.data(), bytes.size());
        bytes.resize(count > 0 ? std::size_t(count) : 0);
        return bytes;
    }

    // What does not fit is lost, as on a line to which nobody listens.
    void write_byte(std::uint8_t byte) { (void)!write(master_, &byte, 1); }

    void wait(int milliseconds) {
        pollfd what{master_, POLLIN, 0};
        poll(&what, 1, milliseconds);
    }

  private:
    int master_ = -1, slave_ = -1;
    std::string name_;
};

// Damages what passes the line.
class Faults {
  public:
    Faults(const Options& options, Counts& counts)
        : options_(options), counts_(counts), random_{options.seed} {}

    // What arrives of one byte.
    std::vector<std::uint8_t> pass(std::uint8_t byte) {
        std::vector<std::uint8_t> out;
        if (random_.chance(options_.garbage)) {
            ++counts_.garbage;
            for (std::size_t i = 1 + random_.next() % kGarbage; i > 0; --i)
                out.push_back(std::uint8_t(random_.next()));
        }
        if (random_.chance(options_.drop)) {
            ++counts_.drop;
            return out;
        }
        out.push_back(byte);
        if (random_.chance(options_.repeat)) {
            ++counts_.repeat;
            out.push_back(byte);
        }
        return out;
    }

    bool bit(bool level) {
        if (!random_.chance(options_.noise)) return level;
        ++counts_.noise;
        return !level;
    }

    std::size_t any(std::size_t count) { return random_.next() % count; }

    bool replay() {
        const bool yes = random_.chance(options_.replay);
        counts_.replay += yes;
        return yes;
    }

  private:
    const Options& options_;
    Counts& counts_;
    Random random_;
};

// The host's sender: bytes to levels of the board's receiving pin.
class Sender {
  public:
    Sender(Faults& faults, double clocks_a_bit) : faults_(faults), clocks_a_bit_(clocks_a_bit) {}

    bool idle() const { return queue_.empty() && left_ == 0; }
    std::size_t queued() const { return queue_.size(); }
    void push(std::uint8_t byte) { queue_.push_back(byte); }

    // The level in the next clock.
    bool clock() {
        if (left_ == 0) {
            if (queue_.empty()) return true;
            bits_ = 0x200u | unsigned(queue_.front()) << 1;
            queue_.pop_front();
            left_ = kBitsAByte;
            level_ = faults_.bit(bits_ & 1);
        }
        if (++phase_ >= clocks_a_bit_) {
            phase_ -= clocks_a_bit_;
            const bool now = level_;
            bits_ >>= 1;
            if (--left_ > 0) level_ = faults_.bit(bits_ & 1);
            return now;
        }
        return level_;
    }

  private:
    Faults& faults_;
    const double clocks_a_bit_;
    std::deque<std::uint8_t> queue_;
    unsigned bits_ = 0;
    int left_ = 0;
    bool level_ = true;
    double phase_ = 0;
};

// The host's receiver: levels of the board's sending pin to bytes, sampled in the middle of bits.
class Receiver {
  public:
    Receiver(Faults& faults, double clocks_a_bit) : faults_(faults), clocks_a_bit_(clocks_a_bit) {}

    bool idle() const { return !busy_; }

    // True when a byte is complete.
    bool clock(bool level) {
        if (!busy_) {
            if (before_ && !level) {
                busy_ = true;
                bit_ = 0;
                due_ = clocks_a_bit_ / 2;
            }
            before_ = level;
            return false;
        }
        if ((due_ -= 1) > 0) return false;
        due_ += clocks_a_bit_;
        const bool seen = faults_.bit(level);
        before_ = level;
        if (bit_ == 0 && seen) busy_ = false;  // no start bit after all
        if (bit_ >= 1 && bit_ <= 8) byte_ = std::uint8_t(byte_ >> 1 | (seen ? 0x80 : 0));
        if (bit_ == kBitsAByte - 1) {
            busy_ = false;
            return seen;  // without a stop bit it is none
        }
        ++bit_;
        return false;
    }

    std::uint8_t byte() const { return byte_; }

  private:
    Faults& faults_;
    const double clocks_a_bit_;
    bool busy_ = false, before_ = true;
    int bit_ = 0;
    double due_ = 0;
    std::uint8_t byte_ = 0;
};

class Board {
  public:
    explicit Board(const Options& options)
        : options_(options),
          faults_(options, counts_),
          sender_(faults_, kClocksABit * (1 + options.skew)),
          receiver_(faults_, kClocksABit * (1 + options.skew)) {
        context_.randReset(2);  // registers without reset start at random values
        context_.randSeed(int(options.seed % 0x7fffffff) + 1);
        top_ = std::make_unique<Vhwgen_uart_top>(&context_);
        top_->uart_rx_i = 1;
        reset();
    }

    const std::string& terminal() const { return terminal_.name(); }

    void run() {
        std::uint64_t quiet = 0;
        while (!stopping) {
            listen();
            for (std::uint64_t i = 0; i < kPollClocks; ++i) step();
            quiet = sender_.idle() && receiver_.idle() ? quiet + kPollClocks : 0;
            if (quiet > kPatience) terminal_.wait(50);  // nothing can happen but by the host
        }
        top_->final();
    }

    const Counts& counts() const { return counts_; }

  private:
    void clock() {
        top_->clk_i = 0;
        top_->eval();
        top_->clk_i = 1;
        top_->eval();
        ++counts_.clocks;
    }

    void reset() {
        top_->rst_i = 1;
        for (int i = 0; i < kResetClocks; ++i) clock();
        top_->rst_i = 0;
    }

    void step() {
        top_->uart_rx_i = sender_.clock();
        clock();
        if (!receiver_.clock(top_->uart_tx_o)) return;
        for (const std::uint8_t byte : faults_.pass(receiver_.byte())) {
            terminal_.write_byte(byte);
            ++counts_.bytes_out;
        }
    }

    void listen() {
        if (sender_.queued() > kQueue) return;  // the terminal's own buffer fills, and the host waits
        for (const std::uint8_t byte : terminal_.read_some()) {
            ++counts_.bytes_in;
            frame_.push_back(byte);
            for (const std::uint8_t arriving : faults_.pass(byte)) sender_.push(arriving);
            if (byte == kFlag) {
                if (frame_.size() > 2 && (frame_[1] & 3) == kStream) {
                    recent_.push_back(frame_);
                    if (recent_.size() > kRecent) recent_.pop_front();
                    if (faults_.replay())
                        for (const std::uint8_t again : recent_[faults_.any(recent_.size())])
                            sender_.push(again);
                }
                frame_.assign(1, kFlag);
            }
            if (options_.reset && counts_.bytes_in % options_.reset == 0) {
                ++counts_.reset;
                reset();
            }
        }
    }

    const Options& options_;
    Counts counts_;
    Faults faults_;
    Terminal terminal_;
    Sender sender_;
    Receiver receiver_;
    VerilatedContext context_;
    std::unique_ptr<Vhwgen_uart_top> top_;
    std::vector<std::uint8_t> frame_;  // of the host, as sent
    std::deque<std::vector<std::uint8_t>> recent_;
};

void write_counts(const Counts& c, const std::string& path) {
    if (path.empty()) return;
    std::FILE* file = std::fopen(path.c_str(), "w");
    if (!file) throw std::runtime_error("cannot write " + path);
    const auto n = [](std::uint64_t value) { return (unsigned long long)value; };
    std::fprintf(file,
                 "{\"clocks\": %llu, \"bytes_in\": %llu, \"bytes_out\": %llu, \"noise\": %llu, "
                 "\"drop\": %llu, \"repeat\": %llu, \"garbage\": %llu, \"replay\": %llu, "
                 "\"reset\": %llu}\n",
                 n(c.clocks), n(c.bytes_in), n(c.bytes_out), n(c.noise), n(c.drop), n(c.repeat),
                 n(c.garbage), n(c.replay), n(c.reset));
    std::fclose(file);
}

// The memory files are read in the first eval, by names relative to the working directory.
void enter_rtl_folder() {
    const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path() / HWGEN_RTL;
    for (const char* const* name = kMemories; *name; ++name)
        if (access((folder / *name).c_str(), R_OK) != 0)
            throw std::runtime_error("cannot read the memory file " +
                                     (folder / *name).lexically_normal().string());
    fs::current_path(folder);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const pid_t parent = getppid();
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) return 0;
        for (const int number : {SIGTERM, SIGINT}) signal(number, [](int) { stopping = 1; });
        const Options options = parse(argc, argv);
        enter_rtl_folder();
        Board board(options);
        std::printf("%s\n", board.terminal().c_str());
        std::fflush(stdout);
        board.run();
        write_counts(board.counts(), options.counts);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "uartsim: %s\n", error.what());
        return 2;
    }
}
