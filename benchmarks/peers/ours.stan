// The posterior in our coordinates: the clinician's level integrated out. Parameters in the order of posterior.blocks.
// The filter runs over surveys with all clinicians side by side, and once more over the constant 1, whose multiple by C*
// is what the level's deviation e adds to every score.
data {
  int<lower=1> N;                  // clinicians
  int<lower=1> T;                  // surveys of each
  int<lower=1> U;                  // units
  array[N] int<lower=1, upper=U> unit;
  array[T] vector[N] gap;          // since the survey before, 0 at the first
  array[T] vector[N] score;
  real<lower=0> rounding;          // variance
  vector[2] prior_level;           // mean and sd of the log, as for the next three
  vector[2] prior_half_life;
  vector[2] prior_total_sd;
  vector[2] prior_start_sd_ratio;
  vector[2] prior_start_shift;     // mean and sd
  vector[4] prior_sd;              // scales of rate_sd, spread_sd, unit_level_sd, unit_rate_sd
  vector[2] prior_concordance;
  vector[3] prior_shares;
}
parameters {
  real<lower=0> level;
  real<lower=0> half_life;
  real<lower=0> total_sd;
  vector[2] variance_shares;       // their softmax with minus their sum
  real<lower=0, upper=1> level_rate_concordance;
  real<lower=0> rate_sd;
  real<lower=0> spread_sd;
  real<lower=0> unit_level_sd;
  real<lower=0> unit_rate_sd;
  real start_shift;
  real<lower=0> start_sd_ratio;
  vector[N] rate_z;
  vector[N] spread_z;
  vector[U] unit_level_z;
  vector[U] unit_rate_z;
}
model {
  vector[3] log_share = log_softmax(append_row(variance_shares, -sum(variance_shares)));
  real trait_sd = total_sd * exp(0.5 * log_share[1]);
  real process_sd = total_sd * exp(0.5 * log_share[2]);
  real error_sd = total_sd * exp(0.5 * log_share[3]);
  real beta = log2() / half_life;
  real rho = 2 * level_rate_concordance - 1;
  real e_sd = trait_sd / level * sqrt(1 - square(rho));
  vector[N] e_mean = trait_sd / level * rho * rate_z;
  vector[N] rate = beta * exp(unit_rate_sd * unit_rate_z[unit] + rate_sd * rate_z);
  vector[N] omega = process_sd * exp(spread_sd * spread_z);
  vector[N] stationary = square(omega);
  real error = square(error_sd) + rounding;
  vector[N] capacity = level * exp(unit_level_sd * unit_level_z[unit]);
  vector[N] mean = rep_vector(start_shift, N);
  vector[N] ones = rep_vector(0, N);
  vector[N] variance = square(omega * start_sd_ratio);
  vector[N] vl = rep_vector(0, N);
  vector[N] ll = rep_vector(0, N);
  for (t in 1:T) {
    vector[N] keep = exp(-rate .* gap[t]);
    vector[N] predicted = stationary + square(keep) .* (variance - stationary);
    vector[N] total = predicted + error;
    vector[N] gain = predicted ./ total;
    vector[N] m = keep .* mean;
    vector[N] o = keep .* ones;
    vector[N] v = score[t] - capacity - m;
    vector[N] one = 1 - o;
    vector[N] by = v ./ total;
    vector[N] one_by = one ./ total;
    mean = m + gain .* v;
    ones = o + gain .* one;
    variance = gain * error;
    vl += v .* one_by;
    ll += one .* one_by;
    target += -0.5 * (sum(log(total)) + dot_product(v, by));
  }
  {
    vector[N] l1 = capacity .* vl;
    vector[N] l2 = square(capacity) .* ll;
    vector[N] d = 1 + square(e_sd) * l2;
    vector[N] r = l1 - e_mean .* l2;
    target += dot_product(e_mean, l1) - 0.5 * dot_product(square(e_mean), l2) - 0.5 * sum(log(d))
              + 0.5 * square(e_sd) * sum(square(r) ./ d);
  }
  level ~ lognormal(prior_level[1], prior_level[2]);
  half_life ~ lognormal(prior_half_life[1], prior_half_life[2]);
  total_sd ~ lognormal(prior_total_sd[1], prior_total_sd[2]);
  target += dot_product(prior_shares, log_share);  // with the volume of the softmax
  level_rate_concordance ~ beta(prior_concordance[1], prior_concordance[2]);
  rate_sd ~ normal(0, prior_sd[1]);
  spread_sd ~ normal(0, prior_sd[2]);
  unit_level_sd ~ normal(0, prior_sd[3]);
  unit_rate_sd ~ normal(0, prior_sd[4]);
  start_shift ~ normal(prior_start_shift[1], prior_start_shift[2]);
  start_sd_ratio ~ lognormal(prior_start_sd_ratio[1], prior_start_sd_ratio[2]);
  rate_z ~ std_normal();
  spread_z ~ std_normal();
  unit_level_z ~ std_normal();
  unit_rate_z ~ std_normal();
}
