// Stan's own sampler and log density behind a C interface, for a model that stanc has translated to MODEL.
// Stands in for CmdStan, which no package registry holds; compiled against the headers in httpstan's wheel.

#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <vector>

#include <stan/callbacks/interrupt.hpp>
#include <stan/callbacks/logger.hpp>
#include <stan/callbacks/writer.hpp>
#include <stan/io/json/json_data.hpp>
#include <stan/model/gradient.hpp>
#include <stan/services/sample/hmc_nuts_diag_e_adapt.hpp>

#include MODEL

namespace {

// sampler's statistics and parameters of each draw, as doubles; the first number says how many there are
class binary_writer : public stan::callbacks::writer {
  std::FILE *file_;

public:
  explicit binary_writer(std::FILE *file) : file_(file) {}
  void operator()(const std::vector<std::string> &names) override {
    double count = static_cast<double>(names.size());
    std::fwrite(&count, sizeof(double), 1, file_);
  }
  void operator()(const std::vector<double> &state) override {
    std::fwrite(state.data(), sizeof(double), state.size(), file_);
    std::fflush(file_);
  }
  using stan::callbacks::writer::operator();
};

double evaluate(stan_model *model, const Eigen::VectorXd &theta, Eigen::VectorXd &gradient) {
  return stan::model::log_prob_grad<true, true>(*model, const_cast<Eigen::VectorXd &>(theta), gradient);
}

} // namespace

extern "C" {

void *peer_open(const char *data) {
  std::ifstream in(data);
  stan::json::json_data context(in);
  return new stan_model(context, 0, &std::cerr);
}

int peer_size(void *model) { return static_cast<int>(static_cast<stan_model *>(model)->num_params_r()); }

// log density (constants dropped) and its gradient at an unconstrained point; NaN where Stan rejects it
double peer_gradient(void *model, const double *theta, double *gradient) {
  auto *m = static_cast<stan_model *>(model);
  Eigen::VectorXd at = Eigen::Map<const Eigen::VectorXd>(theta, peer_size(model)), slope(peer_size(model));
  try {
    double value = evaluate(m, at, slope);
    Eigen::Map<Eigen::VectorXd>(gradient, slope.size()) = slope;
    return value;
  } catch (const std::exception &error) {
    std::cerr << error.what() << std::endl;
    return std::numeric_limits<double>::quiet_NaN();
  }
}

// nanoseconds a call of value and gradient
double peer_time(void *model, const double *theta, int calls) {
  auto *m = static_cast<stan_model *>(model);
  Eigen::VectorXd at = Eigen::Map<const Eigen::VectorXd>(theta, peer_size(model)), slope(peer_size(model));
  double sum = 0;
  auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i)
    sum += evaluate(m, at, slope);
  auto took = std::chrono::steady_clock::now() - begun;
  if (sum == 0.123)
    std::cerr << sum;
  return std::chrono::duration<double, std::nano>(took).count() / calls;
}

// one chain with CmdStan's default settings; warm-up draws are kept too. 0 if all went well
int peer_sample(void *model, const char *init, const char *out, unsigned int seed, unsigned int chain, int tune, int draws,
                double accept) {
  auto *m = static_cast<stan_model *>(model);
  std::ifstream in(init);
  stan::json::json_data start(in);
  std::FILE *file = std::fopen(out, "wb");
  binary_writer draws_writer(file);
  stan::callbacks::writer nothing;
  stan::callbacks::logger logger;
  stan::callbacks::interrupt interrupt;
  int code = stan::services::sample::hmc_nuts_diag_e_adapt(*m, start, seed, chain, 0.0, tune, draws, 1, true, 0, 1.0, 0.0, 10,
                                                           accept, 0.05, 0.75, 10.0, 75, 50, 25, interrupt, logger, nothing,
                                                           draws_writer, nothing);
  std::fclose(file);
  return code;
}

} // extern "C"
