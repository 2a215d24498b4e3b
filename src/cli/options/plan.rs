//! What can be typed of an allocation, and the plan that it makes.

use crate::allocate::{
    Aggregate, AllocationPlan, AllocationRule, AlphaDecay, AlphaPruning, Budget, Group, MolaShape, MultiplierMap,
    Ranks, Rounding, TempBalance, Uniform,
};
use crate::error::{Error, Result};
use clap::ValueEnum;

/// The rules of allocation by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum RuleName {
    /// LoRA experts in proportion to alpha^beta (arXiv 2410.10054)
    #[default]
    Alphalora,
    /// The same number of experts everywhere
    Uniform,
    /// MoLA's fixed numbers of experts for each quarter of the layers (arXiv 2402.08562)
    Mola,
    /// LoRA ranks in proportion to alpha^beta, under a budget of trainable parameters
    Rank,
    /// Sparsities around that of the whole model (arXiv 2410.10912)
    Alphapruning,
    /// Multipliers of the learning rate (arXiv 2312.00359)
    Tempbalance,
    /// Multipliers of the weight decay (arXiv 2506.14562)
    Alphadecay,
}

use RuleName::{Alphadecay, Alphalora, Alphapruning, Mola, Rank, Tempbalance, Uniform as Even};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Allocation")]
pub struct BudgetArgs {
    /// LoRA experts of all layers together [default: 5 for each layer of the main stack]
    #[arg(long, value_name = "T", value_parser = experts)]
    pub experts: Option<u32>,
    /// Exponent beta of alpha^beta, to which experts and ranks are proportional [default: 2.5]
    #[arg(long, value_name = "B", value_parser = beta, allow_negative_numbers = true)]
    pub beta: Option<f64>,
    /// How shares of experts become whole numbers [default: reference]
    #[arg(long, value_enum)]
    pub rounding: Option<Rounding>,
    /// Fewest experts of a layer, with --rounding largest-remainder or the rule uniform [default: 1]
    #[arg(long, value_name = "N")]
    pub min_experts: Option<u32>,
    /// Most experts of a layer, with --rounding largest-remainder
    #[arg(long, value_name = "N")]
    pub max_experts: Option<u32>,
}

impl BudgetArgs {
    /// The budget; without `--experts`, its number of experts is set when the layers are known.
    pub fn budget(&self) -> Budget {
        let usual = Budget::default();
        Budget {
            experts: self.experts,
            beta: self.beta.unwrap_or(usual.beta),
            rounding: self.rounding.unwrap_or_default(),
            min_experts: self.min_experts,
            max_experts: self.max_experts,
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Allocation")]
pub struct PlanArgs {
    #[command(flatten)]
    pub budget: BudgetArgs,
    /// Experts of a layer in each quarter of the layers: 2468, 8642, 8228, 5555 or a,b,c,d (mola) [default: 2468]
    #[arg(long, value_name = "SHAPE")]
    pub shape: Option<MolaShape>,
    /// Rank whose use everywhere takes the budget of trainable parameters (rank) [default: 8]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    pub rank: Option<u32>,
    /// Budget of trainable parameters, the sum of rank x (rows + cols), instead of --rank (rank)
    #[arg(long, value_name = "N", conflicts_with = "rank")]
    pub parameters: Option<u64>,
    /// Smallest rank (rank) [default: --multiple-of]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    pub min_rank: Option<u32>,
    /// Largest rank (rank) [default: the smallest dimension of a matrix]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_rank: Option<u32>,
    /// Ranks are multiples of this (rank) [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub multiple_of: Option<u32>,
    /// lora_alpha / r, the same for all, so that no update is scaled down for its rank (rank) [default: 1]
    #[arg(long, value_name = "X")]
    pub lora_scaling: Option<f64>,
    /// The same lora_alpha for all instead (rank)
    #[arg(long, value_name = "A", conflicts_with = "lora_scaling")]
    pub lora_alpha: Option<f64>,
    /// Share of all weights to prune, between 0 and 1 (alphapruning)
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub sparsity: Option<f64>,
    /// How far sparsities depart from the whole model's, before they are scaled (alphapruning) [default: 0.3]
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub epsilon: Option<f64>,
    /// Multipliers of the smallest and the largest alpha (tempbalance, alphadecay) [default: 0.5:1.5; alphadecay: 0.666:3]
    #[arg(long, value_name = "LOW:HIGH", value_parser = range)]
    pub range: Option<(f64, f64)>,
    /// How alphas become multipliers (tempbalance) [default: linear]
    #[arg(long, value_enum)]
    pub map: Option<MultiplierMap>,
    /// What gets a number: every layer, every matrix, or every role across the layers [default: by the rule]
    #[arg(long, value_enum)]
    pub group: Option<Group>,
    /// How the alphas of several matrices become one; weighted means by their parameters
    #[arg(long, value_enum, default_value_t)]
    pub aggregate: Aggregate,
}

impl PlanArgs {
    /// The plan for this rule.
    ///
    /// # Errors
    ///
    /// If an option belongs to another rule.
    pub fn plan(&self, name: RuleName) -> Result<AllocationPlan> {
        self.refuse_strangers(name)?;
        let rule = match name {
            Alphalora => AllocationRule::AlphaLora(self.budget.budget()),
            Even => AllocationRule::Uniform(Uniform {
                experts: self.budget.experts,
                min_experts: self.budget.min_experts.unwrap_or(1),
            }),
            Mola => AllocationRule::Mola { shape: self.shape.unwrap_or_default() },
            Rank => AllocationRule::Rank(self.ranks()),
            Alphapruning => {
                let sparsity = self.sparsity.ok_or_else(|| {
                    let error = Error::usage("AlphaPruning needs the sparsity of the whole model");
                    error.hint("--sparsity 0.7 prunes 70 % of the weights")
                })?;
                AllocationRule::AlphaPruning(AlphaPruning { sparsity, epsilon: self.epsilon.unwrap_or(0.3) })
            }
            Tempbalance => {
                let TempBalance { low, high, .. } = TempBalance::default();
                let (low, high) = self.range.unwrap_or((low, high));
                AllocationRule::TempBalance(TempBalance { map: self.map.unwrap_or_default(), low, high })
            }
            Alphadecay => {
                let AlphaDecay { low, high } = AlphaDecay::default();
                let (low, high) = self.range.unwrap_or((low, high));
                AllocationRule::AlphaDecay(AlphaDecay { low, high })
            }
        };
        Ok(AllocationPlan { rule, group: self.group.unwrap_or(rule.usual_group()), aggregate: self.aggregate })
    }

    fn ranks(&self) -> Ranks {
        let usual = Ranks::default();
        Ranks {
            rank: self.rank.unwrap_or(usual.rank),
            parameters: self.parameters,
            beta: self.budget.beta.unwrap_or(usual.beta),
            min_rank: self.min_rank,
            max_rank: self.max_rank,
            multiple_of: self.multiple_of.unwrap_or(usual.multiple_of),
            lora_scaling: self.lora_scaling.unwrap_or(usual.lora_scaling),
            lora_alpha: self.lora_alpha,
        }
    }

    /// An option that was given, if there is one.
    pub fn given(&self) -> Option<&'static str> {
        let others = [(self.group.is_some(), "--group"), (self.aggregate != Aggregate::default(), "--aggregate")];
        let options = self.options().into_iter().map(|(given, option, _)| (given, option)).chain(others);
        options.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }

    /// Options that the rule does not know must not be dropped in silence.
    fn refuse_strangers(&self, name: RuleName) -> Result<()> {
        let options = self.options();
        let stranger = options.iter().find(|(given, _, rules)| *given && !rules.contains(&name));
        let Some((_, option, rules)) = stranger else { return Ok(()) };
        let rules: Vec<String> = rules.iter().map(|rule| rule.to_string()).collect();
        let cause = format!("{option} has no meaning under the allocation rule {name}");
        Err(Error::usage(cause).hint(format!("it is for {}", rules.join(" and "))))
    }

    /// Whether each option was given, its name, and the rules that it is for.
    fn options(&self) -> [(bool, &'static str, &'static [RuleName]); 17] {
        let BudgetArgs { experts, beta, rounding, min_experts, max_experts } = &self.budget;
        [
            (experts.is_some(), "--experts", &[Alphalora, Even]),
            (beta.is_some(), "--beta", &[Alphalora, Rank]),
            (rounding.is_some(), "--rounding", &[Alphalora]),
            (min_experts.is_some(), "--min-experts", &[Alphalora, Even]),
            (max_experts.is_some(), "--max-experts", &[Alphalora]),
            (self.shape.is_some(), "--shape", &[Mola]),
            (self.rank.is_some(), "--rank", &[Rank]),
            (self.parameters.is_some(), "--parameters", &[Rank]),
            (self.min_rank.is_some(), "--min-rank", &[Rank]),
            (self.max_rank.is_some(), "--max-rank", &[Rank]),
            (self.multiple_of.is_some(), "--multiple-of", &[Rank]),
            (self.lora_scaling.is_some(), "--lora-scaling", &[Rank]),
            (self.lora_alpha.is_some(), "--lora-alpha", &[Rank]),
            (self.sparsity.is_some(), "--sparsity", &[Alphapruning]),
            (self.epsilon.is_some(), "--epsilon", &[Alphapruning]),
            (self.range.is_some(), "--range", &[Tempbalance, Alphadecay]),
            (self.map.is_some(), "--map", &[Tempbalance]),
        ]
    }
}

impl std::fmt::Display for RuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

fn experts(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(experts) if experts > 0 => Ok(experts),
        _ => {
            Err("not a positive whole number up to 4294967295\n\nhint: AlphaLoRA gives a 32-layer model 160 experts, 5 per layer".into())
        }
    }
}

fn beta(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(beta) if beta.is_finite() && beta >= 0.0 => Ok(beta),
        _ => Err("not a finite number >= 0\n\nhint: AlphaLoRA uses 2.5; 0 gives every layer the same".into()),
    }
}

fn range(text: &str) -> Result<(f64, f64), String> {
    let numbers = text.split_once(':').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    numbers.ok_or_else(|| "not two numbers with a colon between them\n\nhint: TempBalance uses 0.5:1.5".into())
}
