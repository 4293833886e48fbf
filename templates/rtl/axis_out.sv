// AXI4-Stream master: puts the elements of a frame on the bus.
//
// AXIS_BYTES     bytes of a bus beat (TDATA)
// ELEM_BYTES     bytes that an element occupies on the bus, divides AXIS_BYTES
// BITS, SIGNED   type of an element, extended to ELEM_BYTES by its sign or by zeros
// ELEMENTS       elements of a frame
// LANES          elements of an input beat; divides ELEMENTS and AXIS_BYTES/ELEM_BYTES
//
// Element 0 is in the lowest bytes. Every frame starts on a bus beat and ends with m_last_o
// (TLAST); bytes of its last bus beat that hold no element are 0 and have m_keep_o (TKEEP) 0.
//
// Latency 1 from the last element of a bus beat, initiation interval ELEMENTS/LANES a frame,
// without a bubble. s_ready_o depends combinationally on m_ready_i (TREADY). No memories: one
// register of AXIS_BYTES/ELEM_BYTES*BITS.
`default_nettype none

module axis_out #(
    parameter int unsigned AXIS_BYTES = 8,
    parameter int unsigned ELEM_BYTES = 1,
    parameter int unsigned BITS       = 8,
    parameter int unsigned SIGNED     = 1,
    parameter int unsigned ELEMENTS   = 10,
    parameter int unsigned LANES      = 1
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_i,
    input  wire logic                    s_valid_i,
    output wire logic                    s_ready_o,
    input  wire logic [LANES*BITS-1:0]   s_data_i,
    output      logic                    m_valid_o,
    input  wire logic                    m_ready_i,
    output wire logic [8*AXIS_BYTES-1:0] m_data_o,
    output wire logic [AXIS_BYTES-1:0]   m_keep_o,
    output      logic                    m_last_o
);
  localparam int unsigned ELEM_BITS = 8 * ELEM_BYTES;
  localparam int unsigned ON_BUS = AXIS_BYTES / ELEM_BYTES;
  localparam int unsigned GROUPS = ON_BUS / LANES;     // input beats a bus beat
  localparam int unsigned BEATS = ELEMENTS / LANES;    // input beats a frame
  localparam int unsigned GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
  localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;

  if (AXIS_BYTES % ELEM_BYTES != 0 || BITS < 1 || BITS > 8 * ELEM_BYTES) begin : gen_bad_element
    $error("axis_out: ELEM_BYTES must divide AXIS_BYTES and hold BITS");
  end
  if (LANES < 1 || ON_BUS % LANES != 0 || ELEMENTS < 1 || ELEMENTS % LANES != 0) begin : gen_bad_lanes
    $error("axis_out: LANES must divide ELEMENTS and AXIS_BYTES/ELEM_BYTES");
  end

  logic [GROUP_BITS-1:0] group;  // of the bus beat, at the input
  logic [BEAT_BITS-1:0] beat;    // of the frame, at the input
  wire logic last_beat = beat == BEAT_BITS'(BEATS - 1);
  wire logic last_group = last_beat || group == GROUP_BITS'(GROUPS - 1);
  wire logic fire = s_valid_i && s_ready_o;
  assign s_ready_o = m_ready_i || !m_valid_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      group     <= '0;
      beat      <= '0;
    end else begin
      if (s_ready_o) m_valid_o <= fire && last_group;
      if (fire) begin
        group <= last_group ? '0 : group + 1'b1;
        beat  <= last_beat ? '0 : beat + 1'b1;
      end
    end
  end
  always_ff @(posedge clk_i) if (fire) m_last_o <= last_beat;

  for (genvar g = 0; g < GROUPS; g++) begin : gen_group
    logic [LANES*BITS-1:0] slot;
    logic filled;
    always_ff @(posedge clk_i) begin
      if (fire && group == GROUP_BITS'(g)) begin
        slot   <= s_data_i;
        filled <= 1'b1;
      end else if (fire && group == '0) begin
        slot   <= '0;
        filled <= 1'b0;
      end
    end
    for (genvar i = 0; i < LANES; i++) begin : gen_element
      localparam int unsigned AT = g * LANES + i;
      wire logic [BITS-1:0] x = slot[BITS*i+:BITS];
      assign m_data_o[ELEM_BITS*AT+:ELEM_BITS] =
          SIGNED != 0 ? ELEM_BITS'($signed(x)) : ELEM_BITS'(x);
      assign m_keep_o[ELEM_BYTES*AT+:ELEM_BYTES] = {ELEM_BYTES{filled}};
    end
  end
endmodule

`default_nettype wire
