// A Zynq board as a program: the Verilated design behind its shell, an AXI DMA and a processor.
//
// Commands come from standard input, answers go to standard output (see pynq/__init__.py):
//
//   r OFFSET\n                            read a register      -> DATA RESPONSE\n
//   w OFFSET DATA STROBE\n                write a register     -> RESPONSE\n
//   t BYTES ROOM IDLE STALL <bytes>       transfer a batch     -> SENT LAST COUNT\n<bytes>
//
// Numbers are decimal. A transfer sends BYTES bytes, the last beat with TLAST, while it takes what
// comes, up to TLAST or more than ROOM bytes; IDLE and STALL are the shares of cycles in which the
// DMA offers no beat and takes none. It is over when all is sent (SENT 1) and TLAST came (LAST 1),
// or when no beat has moved for long: the transfer then stays as it is, and so do the registers.
// Time stands still between commands. The design breaking AXI is an end with status 1.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include "Vhwgen_shell.h"
#include "board.h"
#include "verilated.h"

#ifndef HWGEN_RTL  // where the memory files lie, seen from the folder of the program
#define HWGEN_RTL "../rtl"
#endif

namespace {

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "simulated board: %s\n", what.c_str());
    std::exit(1);
}

struct Random {  // splitmix64
    std::uint64_t state = 1;
    std::uint64_t next() {
        std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    bool chance(double p) { return p > 0 && double(next() >> 11) < p * 9007199254740992.0; }
};

class Board {
  public:
    Board() {
        context_.randReset(2);  // registers without reset start at random values
        top_ = std::make_unique<Vhwgen_shell>(&context_);
        top_->s_axi_arvalid = top_->s_axi_rready = 0;
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_bready = 0;
        top_->aresetn = 0;
        for (int i = 0; i < 4; ++i) step();
        top_->aresetn = 1;
    }

    void read(unsigned offset) {
        top_->s_axi_araddr = offset;
        top_->s_axi_arvalid = 1;
        top_->s_axi_rready = 1;
        bool asked = false, answered = false;
        for (int i = 0; !answered; ++i) {
            if (i == kPatience) fail("a read of the registers is not answered");
            level(0);
            const bool taken = top_->s_axi_arvalid && top_->s_axi_arready;
            answered = top_->s_axi_rvalid;
            if (answered && !asked) fail("a read is answered before it is asked");
            const unsigned data = top_->s_axi_rdata, response = top_->s_axi_rresp;
            step();
            asked |= taken;
            if (taken) top_->s_axi_arvalid = 0;
            if (answered) std::printf("%u %u\n", data, response);
        }
        top_->s_axi_rready = 0;
    }

    void write(unsigned offset, unsigned data, unsigned strobe) {
        top_->s_axi_awaddr = offset;
        top_->s_axi_wdata = data;
        top_->s_axi_wstrb = strobe;
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_bready = 1;
        bool answered = false;
        for (int i = 0; !answered; ++i) {
            if (i == kPatience) fail("a write to the registers is not answered");
            level(0);
            const bool address = top_->s_axi_awready, word = top_->s_axi_wready;
            answered = top_->s_axi_bvalid;
            const unsigned response = top_->s_axi_bresp;
            step();
            if (address) top_->s_axi_awvalid = 0;
            if (word) top_->s_axi_wvalid = 0;
            if (answered) std::printf("%u\n", response);
        }
        top_->s_axi_bready = 0;
    }

    void transfer(std::vector<std::uint8_t> data, std::size_t room, double idle, double stall) {
        if (data.size() % kBusBytes) fail("a transfer is not of whole beats");
        sending_ = std::move(data);
        sent_ = 0;
        received_.clear();
        room_ = room;
        idle_ = idle;
        stall_ = stall;
        receiving_ = true;
        const double patience = kPatience / ((1 - idle) * (1 - stall));
        for (double quiet = 0; (receiving_ || sent_ < sending_.size()) && quiet < patience;)
            quiet = step() ? 0 : quiet + 1;
        std::printf("%d %d %zu\n", sent_ == sending_.size(), !receiving_ && last_, received_.size());
        std::fwrite(received_.data(), 1, received_.size(), stdout);
    }

  private:
    void level(std::uint8_t aclk) {
        top_->aclk = aclk;
        top_->eval();
    }

    // One cycle of everything; true when a beat of a stream moved.
    bool step() {
        if (!offering_ && sent_ < sending_.size() && !random_.chance(idle_)) {
            offering_ = true;
            std::memcpy(&top_->s_axis_tdata, &sending_[sent_], kBusBytes);
            std::memset(&top_->s_axis_tkeep, 0xff, (kBusBytes + 7) / 8);
            top_->s_axis_tlast = sent_ + kBusBytes == sending_.size();
        }
        top_->s_axis_tvalid = offering_;
        top_->m_axis_tready = receiving_ && !random_.chance(stall_);
        level(0);
        bool moved = false;
        if (offering_ && top_->s_axis_tready) {
            offering_ = false;
            sent_ += kBusBytes;
            moved = true;
        }
        if (top_->m_axis_tvalid && top_->m_axis_tready) {
            const auto* beat = reinterpret_cast<const std::uint8_t*>(&top_->m_axis_tdata);
            received_.insert(received_.end(), beat, beat + kBusBytes);
            last_ = top_->m_axis_tlast;
            receiving_ = !last_ && received_.size() <= room_;
            moved = true;
        }
        level(1);
        return moved;
    }

    VerilatedContext context_;
    std::unique_ptr<Vhwgen_shell> top_;
    Random random_;
    std::vector<std::uint8_t> sending_, received_;
    std::size_t sent_ = 0, room_ = 0;
    double idle_ = 0, stall_ = 0;
    bool offering_ = false, receiving_ = false, last_ = false;
};

// The memory files are read in the first eval, by names relative to the working directory.
void enter_rtl_folder() {
    namespace fs = std::filesystem;
    const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path() / HWGEN_RTL;
    for (const char* const* name = kMemories; *name; ++name)
        if (access((folder / *name).c_str(), R_OK) != 0)
            fail("cannot read the memory file " + (folder / *name).lexically_normal().string());
    if (kMemories[0]) fs::current_path(folder);
}

}  // namespace

int main() {
    enter_rtl_folder();
    Board board;
    char command;
    while (std::scanf(" %c", &command) == 1) {
        unsigned offset, data, strobe;
        std::size_t bytes, room;
        double idle, stall;
        if (command == 'r' && std::scanf("%u", &offset) == 1) {
            board.read(offset);
        } else if (command == 'w' && std::scanf("%u %u %u", &offset, &data, &strobe) == 3) {
            board.write(offset, data, strobe);
        } else if (command == 't' &&
                   std::scanf("%zu %zu %lf %lf", &bytes, &room, &idle, &stall) == 4) {
            std::getchar();  // the blank in front of the bytes
            std::vector<std::uint8_t> batch(bytes);
            if (std::fread(batch.data(), 1, bytes, stdin) != bytes) fail("a transfer is cut short");
            board.transfer(std::move(batch), room, idle, stall);
        } else {
            fail("a command that it does not know");
        }
        std::fflush(stdout);
    }
}

double sc_time_stamp() { return 0; }
