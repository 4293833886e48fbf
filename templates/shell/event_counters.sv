// Counters of events, read together.
//
// COUNT  counters
// BITS   of each; a counter wraps round
//
// event_i     bit i: counter i counts this cycle
// clear_i     all counters start from 0; the events of this cycle are the first they count
// snapshot_i  two cycles later, counts_o has what all counters counted before this cycle, and holds
//             it until the next snapshot; counter i at BITS*i. A clear in the same cycle comes first
//
// An event is registered before it is added: its logic and the carry chain share no path.
`default_nettype none

module event_counters #(
    parameter int unsigned COUNT = 1,
    parameter int unsigned BITS  = 48
) (
    input  wire logic                  clk_i,
    input  wire logic                  rst_i,
    input  wire logic                  clear_i,
    input  wire logic                  snapshot_i,
    input  wire logic [COUNT-1:0]      event_i,
    output      logic [COUNT*BITS-1:0] counts_o
);
  if (COUNT < 1 || BITS < 1) begin : gen_bad_size
    $error("event_counters: COUNT and BITS must be at least 1");
  end

  logic [COUNT-1:0] seen;
  logic take;
  logic [COUNT*BITS-1:0] counts;

  always_ff @(posedge clk_i) begin
    seen <= rst_i ? '0 : event_i;
    take <= snapshot_i && !rst_i;
    if (rst_i) counts_o <= '0;
    else if (take) counts_o <= counts;
  end

  for (genvar i = 0; i < COUNT; i++) begin : gen_counter
    always_ff @(posedge clk_i) begin
      if (rst_i || clear_i) counts[BITS*i+:BITS] <= '0;
      else counts[BITS*i+:BITS] <= counts[BITS*i+:BITS] + BITS'(seen[i]);
    end
  end
endmodule

`default_nettype wire
