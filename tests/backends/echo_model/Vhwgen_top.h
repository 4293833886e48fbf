// A design that returns its frames of 10 bytes (two 8-byte beats), or breaks a rule: the seed
// says which. It lets the harness be tested without Verilator.
#pragma once
#include <cstdint>

#include "Vhwgen_top__Dpi.h"

enum Fault { kNone, kValidDrops, kDataChanges, kLastMissing, kLastEarly, kKeepWrong, kPadding,
             kSurplus, kSilent };

struct Vhwgen_top {
    explicit Vhwgen_top(VerilatedContext* context) : fault(Fault(context->seed)) {}

    std::uint8_t aclk = 0, aresetn = 0, probe_record_i = 0, probe_report_i = 0;
    std::uint8_t s_axis_tvalid = 0, s_axis_tready = 0, s_axis_tlast = 0, s_axis_tkeep = 0;
    std::uint8_t m_axis_tvalid = 0, m_axis_tready = 0, m_axis_tlast = 0, m_axis_tkeep = 0;
    std::uint64_t s_axis_tdata = 0, m_axis_tdata = 0;

    void eval() {
        if (aclk && !before && aresetn) edge();
        before = aclk;
        m_axis_tvalid = full;
        s_axis_tready = !full || m_axis_tready;
        if (fault == kSilent) m_axis_tvalid = 0;
    }
    void final() {}

  private:
    void edge() {
        const bool stalled = m_axis_tvalid && !m_axis_tready;
        if (probe_report_i) hwgen_report(0, 1, 0, 0, 1, 2);
        if (stalled && fault == kValidDrops) full = false;
        if (stalled && fault == kDataChanges) ++m_axis_tdata;
        if (m_axis_tvalid && m_axis_tready) full = fault == kSurplus && beat == 0;
        if (!s_axis_tvalid || !s_axis_tready) return;
        full = true;
        const bool last = beat % 2 == 1;
        m_axis_tdata = last ? s_axis_tdata & 0xffff : s_axis_tdata;
        m_axis_tlast = (last && fault != kLastMissing) || fault == kLastEarly;
        m_axis_tkeep = last && fault != kKeepWrong ? 0x03 : 0xff;
        if (last && fault == kPadding) m_axis_tdata |= 1u << 16;
        beat = last ? 0 : beat + 1;
    }

    Fault fault;
    unsigned beat = 0;
    bool full = false;
    std::uint8_t before = 0;
};
