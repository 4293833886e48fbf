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
// while one is repeated. Latency 1 (NF > 1), or 0 and no memory (NF = 1).
// Memory: 2*SF words of WIDTH bits, LUTRAM with asynchronous read, two vectors as a ring; a
// beat's place is free once the beat has left for the last time.
// s_ready_o is made of registers (NF > 1) or is m_ready_i (NF = 1); m_valid_o never depends on
// m_ready_i, m_data_o is the asynchronous read.
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
  always_ff @(posedge clk_i) begin
    if (rst_i) m_index_o <= '0;
    else if (pop) begin
      m_index_o <= m_index_o == INDEX_BITS'(SF * NF - 1) ? '0 : m_index_o + 1'b1;
    end
  end

  if (NF == 1) begin : gen_once
    assign m_valid_o = s_valid_i;
    assign s_ready_o = m_ready_i;
    assign m_data_o  = s_data_i;
    assign m_last_o  = m_index_o == INDEX_BITS'(SF - 1);
  end else begin : gen_repeat
    localparam int unsigned DEPTH = 2 * SF;
    localparam int unsigned ADDR_BITS = $clog2(DEPTH);
    localparam int unsigned HELD_BITS = $clog2(DEPTH + 1);
    localparam int unsigned WIDE = INDEX_BITS > HELD_BITS ? INDEX_BITS : HELD_BITS;

    (* ram_style = "distributed" *) logic [WIDTH-1:0] ram[DEPTH];
    logic [ADDR_BITS-1:0] write_addr, read_addr;
    logic [HELD_BITS-1:0] held;  // beats that arrived and have not left for the last time
    logic upper;                 // the vector on its way out is the one in the upper half

    wire logic push = s_valid_i && s_ready_o;
    wire logic first_time = WIDE'(m_index_o) < WIDE'(SF);
    wire logic last_time = m_index_o >= INDEX_BITS'(SF * (NF - 1));
    wire logic drop = pop && last_time;
    wire logic next_upper = upper ^ last_time;

    assign s_ready_o = held != HELD_BITS'(DEPTH);
    assign m_valid_o = !first_time || WIDE'(held) > WIDE'(m_index_o);
    assign m_last_o  = read_addr == (upper ? ADDR_BITS'(DEPTH - 1) : ADDR_BITS'(SF - 1));
    assign m_data_o  = ram[read_addr];

    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        write_addr <= '0;
        read_addr  <= '0;
        held       <= '0;
        upper      <= 1'b0;
      end else begin
        if (push) write_addr <= write_addr == ADDR_BITS'(DEPTH - 1) ? '0 : write_addr + 1'b1;
        if (pop && !m_last_o) read_addr <= read_addr + 1'b1;
        if (pop && m_last_o) begin
          read_addr <= next_upper ? ADDR_BITS'(SF) : '0;
          upper     <= next_upper;
        end
        if (push != drop) held <= held + {{(HELD_BITS - 1) {drop}}, 1'b1};  // +1 or -1
      end
    end
    always_ff @(posedge clk_i) if (push) ram[write_addr] <= s_data_i;
  end
endmodule

`default_nettype wire
