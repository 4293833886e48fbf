// Random traffic on every channel of hwgen_shell; writes down what all pins did in every cycle.
//
// usage: program SEED CYCLES IDLE STALL BEATS
//
// IDLE and STALL are the shares of cycles in which a channel's source offers nothing and its
// sink takes nothing; BEATS are those of an input frame. Standard output: a row of kColumns
// 32-bit words a cycle. Sources hold what they offer until it is taken, as AXI demands.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "Vhwgen_shell.h"
#include "verilated.h"

static std::uint64_t state;
static std::uint64_t rng() {  // splitmix64
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static bool chance(double p) { return double(rng() >> 11) < p * 9007199254740992.0; }

// Half of them registers, the rest anywhere; the lowest two bits have no meaning.
static unsigned address() {
    return chance(0.4) ? 4 * (rng() % 22) + rng() % 4 : chance(0.6) ? 20 + 4 * (rng() % 2) : rng() % 4096;
}

int main(int argc, char** argv) {
    if (argc != 6) return 2;
    state = std::strtoull(argv[1], nullptr, 10);
    const long cycles = std::atol(argv[2]);
    const double idle = std::atof(argv[3]), stall = std::atof(argv[4]);
    const unsigned beats = std::atoi(argv[5]);
    Verilated::randReset(2);
    Verilated::randSeed(int(state) + 1);
    Vhwgen_shell top;
    unsigned beat = 0;
    bool aw = false, w = false, ar = false, s = false;
    for (long cycle = 0; cycle < cycles; ++cycle) {
        const bool reset = cycle < 3 || (cycle > cycles / 2 && cycle < cycles / 2 + 3);
        if (reset) aw = w = ar = s = false, beat = 0;
        if (!aw && !reset && !chance(idle)) aw = true, top.s_axi_awaddr = address();
        if (!w && !reset && !chance(idle)) {
            w = true;
            top.s_axi_wdata = std::uint32_t(rng());
            top.s_axi_wstrb = rng() % 16;
        }
        if (!ar && !reset && !chance(idle)) ar = true, top.s_axi_araddr = address();
        if (!s && !reset && !chance(idle)) {
            s = true;
            top.s_axis_tdata = std::uint32_t(rng());
            top.s_axis_tkeep = 15;
            top.s_axis_tlast = chance(beat == beats - 1 ? 0.4 : 0.2);
        }
        top.aresetn = !reset;
        top.s_axi_awvalid = aw, top.s_axi_wvalid = w, top.s_axi_arvalid = ar;
        top.s_axis_tvalid = s;
        top.s_axi_bready = !chance(stall), top.s_axi_rready = !chance(stall);
        top.m_axis_tready = !chance(stall);
        if (!aw) top.s_axi_awaddr = rng() % 4096;  // nobody may look at it
        if (!w) top.s_axi_wdata = std::uint32_t(rng()), top.s_axi_wstrb = rng() % 16;
        if (!ar) top.s_axi_araddr = rng() % 4096;
        top.aclk = 0;
        top.eval();
        const std::uint32_t row[] = {
            reset, aw, top.s_axi_awready, top.s_axi_awaddr, w, top.s_axi_wready, top.s_axi_wdata,
            top.s_axi_wstrb, top.s_axi_bvalid, top.s_axi_bready, top.s_axi_bresp, ar,
            top.s_axi_arready, top.s_axi_araddr, top.s_axi_rvalid, top.s_axi_rready,
            top.s_axi_rdata, top.s_axi_rresp, s, top.s_axis_tready, top.s_axis_tlast,
            top.m_axis_tvalid, top.m_axis_tready, top.m_axis_tlast, top.m_axis_tdata,
        };
        std::fwrite(row, sizeof row, 1, stdout);
        if (aw && top.s_axi_awready) aw = false;
        if (w && top.s_axi_wready) w = false;
        if (ar && top.s_axi_arready) ar = false;
        if (s && top.s_axis_tready) s = false, beat = (beat + 1) % beats;
        top.aclk = 1;
        top.eval();
    }
    top.final();
}
double sc_time_stamp() { return 0; }
