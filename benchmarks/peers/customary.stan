// The posterior in customary coordinates: everything sampled. Parameters in the order of posterior.blocks.
// The filter runs over surveys with all clinicians side by side.
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
  real log_alpha;
  real log_beta;
  vector[3] log_sd;                // trait, process, error
  real<lower=0, upper=1> level_rate_concordance;
  real<lower=0> rate_sd;
  real<lower=0> spread_sd;
  real<lower=0> unit_level_sd;
  real<lower=0> unit_rate_sd;
  real start_shift;
  real<lower=0> start_sd_ratio;
  vector[N] rate_z;
  vector[N] spread_z;
  vector[N] level_z;
  vector[U] unit_level_z;
  vector[U] unit_rate_z;
}
model {
  real beta = exp(log_beta);
  real level = exp(log_alpha - log_beta);
  real trait_sd = exp(log_sd[1]);
  real process_sd = exp(log_sd[2]);
  real error_sd = exp(log_sd[3]);
  real rho = 2 * level_rate_concordance - 1;
  real e_sd = trait_sd / level * sqrt(1 - square(rho));
  vector[N] e_mean = trait_sd / level * rho * rate_z;
  vector[N] rate = beta * exp(unit_rate_sd * unit_rate_z[unit] + rate_sd * rate_z);
  vector[N] omega = process_sd * exp(spread_sd * spread_z);
  vector[N] stationary = square(omega);
  real error = square(error_sd) + rounding;
  vector[N] capacity = level * exp(unit_level_sd * unit_level_z[unit]) .* (1 + e_mean + e_sd * level_z);
  vector[N] mean = rep_vector(start_shift, N);
  vector[N] variance = square(omega * start_sd_ratio);
  for (t in 1:T) {
    vector[N] keep = exp(-rate .* gap[t]);
    vector[N] predicted = stationary + square(keep) .* (variance - stationary);
    vector[N] total = predicted + error;
    vector[N] gain = predicted ./ total;
    vector[N] m = keep .* mean;
    vector[N] v = score[t] - capacity - m;
    mean = m + gain .* v;
    variance = gain * error;
    target += -0.5 * (sum(log(total)) + sum(square(v) ./ total));
  }
  log_beta ~ normal(log(log2()) - prior_half_life[1], prior_half_life[2]);
  log_alpha ~ normal(prior_level[1] + log_beta, prior_level[2]);
  level_z ~ std_normal();
  {
    // total_sd and the shares have the priors; this is their density in the logs of the three
    real log_total = 0.5 * log_sum_exp(2 * log_sd);
    target += normal_lpdf(log_total | prior_total_sd[1], prior_total_sd[2])
              + dot_product(prior_shares, 2 * (log_sd - log_total));
  }
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
