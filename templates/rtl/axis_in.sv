// AXI4-Stream slave: takes the elements of a frame off the bus.
//
// AXIS_BYTES   bytes of a bus beat (TDATA)
// ELEM_BYTES   bytes that an element occupies on the bus, divides AXIS_BYTES
// BITS         bits of an element that are used, the low ones
// ELEMENTS     elements of a frame
// LANES        elements of an output beat; divides ELEMENTS and AXIS_BYTES/ELEM_BYTES
//
// Element 0 is in the lowest bytes. Every frame starts on a bus beat; what its last bus beat
// holds beyond ELEMENTS is dropped. TLAST is not needed: frames are counted.
//
// Latency 1, initiation interval ELEMENTS/LANES a frame, without a bubble. s_ready_o (TREADY)
// depends combinationally on m_ready_i. No memories: one register of AXIS_BYTES/ELEM_BYTES*BITS.
`default_nettype none

module axis_in #(
    parameter int unsigned AXIS_BYTES = 8,
    parameter int unsigned ELEM_BYTES = 1,
    parameter int unsigned BITS       = 8,
    parameter int unsigned ELEMENTS   = 64,
    parameter int unsigned LANES      = 1
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_i,
    input  wire logic                    s_valid_i,
    output wire logic                    s_ready_o,
    input  wire logic [8*AXIS_BYTES-1:0] s_data_i,
    output      logic                    m_valid_o,
    input  wire logic                    m_ready_i,
    output wire logic [LANES*BITS-1:0]   m_data_o
);
  localparam int unsigned ON_BUS = AXIS_BYTES / ELEM_BYTES;
  localparam int unsigned GROUPS = ON_BUS / LANES;     // output beats a bus beat
  localparam int unsigned BEATS = ELEMENTS / LANES;    // output beats a frame
  localparam int unsigned GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
  localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;

  if (AXIS_BYTES % ELEM_BYTES != 0 || BITS < 1 || BITS > 8 * ELEM_BYTES) begin : gen_bad_element
    $error("axis_in: ELEM_BYTES must divide AXIS_BYTES and hold BITS");
  end
  if (LANES < 1 || ON_BUS % LANES != 0 || ELEMENTS < 1 || ELEMENTS % LANES != 0) begin : gen_bad_lanes
    $error("axis_in: LANES must divide ELEMENTS and AXIS_BYTES/ELEM_BYTES");
  end

  logic [ON_BUS*BITS-1:0] word;
  logic [GROUP_BITS-1:0] group;  // of the word, at the output
  logic [BEAT_BITS-1:0] beat;    // of the frame, at the output
  wire logic last_beat = beat == BEAT_BITS'(BEATS - 1);
  wire logic last_group = last_beat || group == GROUP_BITS'(GROUPS - 1);

  assign s_ready_o = (m_ready_i && last_group) || !m_valid_o;
  assign m_data_o  = word[LANES*BITS*group+:LANES*BITS];

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      group     <= '0;
      beat      <= '0;
    end else begin
      if (s_ready_o) m_valid_o <= s_valid_i;
      if (m_valid_o && m_ready_i) begin
        group <= last_group ? '0 : group + 1'b1;
        beat  <= last_beat ? '0 : beat + 1'b1;
      end
    end
  end

  for (genvar i = 0; i < ON_BUS; i++) begin : gen_element
    always_ff @(posedge clk_i) begin
      if (s_ready_o) word[BITS*i+:BITS] <= s_data_i[8*ELEM_BYTES*i+:BITS];
    end
    if (BITS < 8 * ELEM_BYTES) begin : gen_unused
      wire logic unused = &{1'b0, s_data_i[8*ELEM_BYTES*i+BITS+:8*ELEM_BYTES-BITS]};
    end
  end
endmodule

`default_nettype wire
