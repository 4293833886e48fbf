// Repeats every vector of a stream: SF beats go in once and come out NF times in a row.
//
// WIDTH   bits of a beat
// SF      beats of a vector
// NF      times that each vector comes out
//
// m_last_o marks the last beat of a vector each time; m_index_o = n*SF + s for beat s of
// repetition n, which is the address of its weights.
//
// One beat a cycle, without a bubble between repetitions or vectors: the next vector is taken in
// while one is repeated. Latency 1, or 0 and no memory where NF = 1 or SF = 1: a single beat waits
// at the input while it is repeated.
// Memory: 2*SF words of WIDTH bits or some more, LUTRAM with asynchronous read, two vectors as a
// ring; a beat's place is free once the beat has left for the last time.
// s_ready_o is made of registers, or depends on m_ready_i without memory; m_valid_o never depends
// on m_ready_i, m_data_o is the asynchronous read.
`default_nettype none

module replay_buffer #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned SF    = 4,
    parameter int unsigned NF    = 2,
    localparam int unsigned INDEX_BITS = SF * NF > 1 ? $clog2(SF * NF) : 1
) (
    input  wire logic                  clk_i,
    input  wire logic                  rst_i,
    input  wire logic                  s_valid_i,
    output wire logic                  s_ready_o,
    input  wire logic [WIDTH-1:0]      s_data_i,
    output wire logic                  m_valid_o,
    input  wire logic                  m_ready_i,
    output wire logic [WIDTH-1:0]      m_data_o,
    output wire logic                  m_last_o,
    output      logic [INDEX_BITS-1:0] m_index_o
);
  if (WIDTH < 1 || SF < 1 || NF < 1) begin : gen_bad
    $error("replay_buffer: WIDTH, SF and NF must be at least 1");
  end

  wire logic pop = m_valid_o && m_ready_i;
  wire logic all_ends;  // the last beat, for the last time
  always_ff @(posedge clk_i) begin
    if (rst_i) m_index_o <= '0;
    else if (pop) m_index_o <= all_ends ? '0 : m_index_o + 1'b1;
  end

  if (NF == 1) begin : gen_once
    assign m_valid_o = s_valid_i;
    assign s_ready_o = m_ready_i;
    assign m_data_o  = s_data_i;
    assign m_last_o  = m_index_o == INDEX_BITS'(SF - 1);
    assign all_ends  = m_last_o;
  end else if (SF == 1) begin : gen_hold
    assign m_valid_o = s_valid_i;
    assign s_ready_o = m_ready_i && all_ends;
    assign m_data_o  = s_data_i;
    assign m_last_o  = 1'b1;
    assign all_ends  = m_index_o == INDEX_BITS'(NF - 1);
  end else begin : gen_repeat
    localparam int unsigned HELD_BITS = $clog2(2 * SF + 1);
    localparam int unsigned S_BITS = SF > 4 ? $clog2(SF) + 1 : $clog2(SF);

    wire logic [S_BITS-1:0] write_s, read_s;  // beats of the vectors, up to 0 (wrap_counter.sv)
    logic write_upper, read_upper;            // the vector is the one in the upper half
    wire logic write_ends;
    logic [HELD_BITS-1:0] held;   // beats that arrived and have not left for the last time
    logic first_time, last_time;  // of the vector that is on its way out

    wire logic push = s_valid_i && s_ready_o;
    wire logic drop = pop && last_time;
    wire logic caught_up = read_s == write_s && read_upper == write_upper && s_ready_o;
    logic room;                   // held is less than two vectors
    assign s_ready_o = room;
    assign m_valid_o = !first_time || !caught_up;
    assign all_ends  = m_last_o && last_time;
    wrap_counter #(.N(SF)) u_write (
        .clk_i(clk_i), .rst_i(rst_i), .en_i(push), .count_o(write_s), .last_o(write_ends)
    );
    wrap_counter #(.N(SF)) u_read (
        .clk_i(clk_i), .rst_i(rst_i), .en_i(pop), .count_o(read_s), .last_o(m_last_o)
    );

    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        held        <= '0;
        room        <= 1'b1;
        write_upper <= 1'b0;
        read_upper  <= 1'b0;
        first_time  <= 1'b1;
        last_time   <= 1'b0;
      end else begin
        write_upper <= write_upper ^ (push && write_ends);
        read_upper  <= read_upper ^ (pop && all_ends);
        if (pop && m_last_o) first_time <= last_time;
        if (pop && m_last_o) last_time <= m_index_o == INDEX_BITS'(SF * (NF - 1) - 1);
        if (push != drop) begin
          held <= held + {{(HELD_BITS - 1) {drop}}, 1'b1};  // +1 or -1
          room <= drop || held != HELD_BITS'(2 * SF - 1);
        end
      end
    end

    // A half takes a power of two of words where that makes the memory no larger.
    localparam int unsigned HALF = 2 ** $clog2(SF);
    localparam int unsigned ALIGNED = SF <= 32 || (2 * HALF + 63) / 64 == (2 * SF + 63) / 64 ? 1 : 0;
    localparam int unsigned DEPTH = ALIGNED != 0 ? 2 * HALF : 2 * SF;
    localparam int unsigned ADDR_BITS = $clog2(DEPTH);
    (* ram_style = "distributed" *) logic [WIDTH-1:0] ram[DEPTH];
    function automatic logic [ADDR_BITS-1:0] place(
        input logic upper, input logic [S_BITS-1:0] s);
      if (ALIGNED != 0) place = (ADDR_BITS'(upper) << $clog2(SF)) | (ADDR_BITS'(s) & ADDR_BITS'(HALF - 1));
      else place = ADDR_BITS'($signed(s)) + (upper ? ADDR_BITS'(2 * SF - 1) : ADDR_BITS'(SF - 1));
    endfunction
    wire logic [ADDR_BITS-1:0] write_addr = place(write_upper, write_s);
    assign m_data_o = ram[place(read_upper, read_s)];
    always_ff @(posedge clk_i) if (push) ram[write_addr] <= s_data_i;
  end
endmodule

`default_nettype wire
