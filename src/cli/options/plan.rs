//! The options of an allocation, and the plan they make.

use crate::allocate::{
    Aggregate, AllocationPlan, AllocationRule, AlphaDecay, AlphaPruning, Budget, Group, MolaShape, MultiplierMap,
    Ranks, Rounding, TempBalance, Uniform,
};
use crate::error::{Error, Result};

use super::rules::AllocationChoice;
use super::stacks::StackArgs;

use AllocationChoice::{Alphadecay, Alphalora, Alphapruning, Mola, Rank, Tempbalance, Uniform as Even};

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Allocation")]
pub struct BudgetArgs {
    /// LoRA experts in all [default: 5 for each layer]
    ///
    /// The default is 5 for each layer of the stack with the most layers: 160 for 32 layers, as in AlphaLoRA's paper.
    #[arg(long, value_name = "T", value_parser = experts)]
    pub experts: Option<u32>,
    /// Exponent of alpha^beta, to which experts and ranks are proportional [default: 2.5]
    #[arg(long, value_name = "B", value_parser = beta, hide_short_help = true)]
    pub beta: Option<f64>,
    /// How shares of experts become whole numbers [default: reference]
    #[arg(long, value_enum, hide_short_help = true)]
    pub rounding: Option<Rounding>,
    /// Fewest experts per layer, with --rounding largest-remainder or the rule uniform [default: 1]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub min_experts: Option<u32>,
    /// Most experts per layer, with --rounding largest-remainder
    #[arg(long, value_name = "N", hide_short_help = true)]
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

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Allocation")]
pub struct PlanArgs {
    #[command(flatten)]
    pub budget: BudgetArgs,
    /// Experts per layer in each quarter of the layers: 2468, 8642, 8228, 5555 or a,b,c,d (rule mola) [default: 2468]
    #[arg(long, value_name = "SHAPE", hide_short_help = true)]
    pub shape: Option<MolaShape>,
    /// Budget: that of this rank everywhere (rule rank) [default: 8]
    ///
    /// The ranks together have as many trainable parameters as this rank everywhere.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    pub rank: Option<u32>,
    /// Budget of trainable parameters, the sum of rank x (rows + cols), in place of --rank (rule rank)
    #[arg(long, value_name = "N", conflicts_with = "rank", hide_short_help = true)]
    pub parameters: Option<u64>,
    /// Smallest rank (rule rank) [default: --multiple-of]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    pub min_rank: Option<u32>,
    /// Largest rank (rule rank) [default: the smallest dimension of a matrix]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    pub max_rank: Option<u32>,
    /// Make ranks multiples of this number (rule rank) [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    pub multiple_of: Option<u32>,
    /// lora_alpha / r, the same for every rank, so that all updates have the same scale (rule rank) [default: 1]
    #[arg(long, value_name = "X", hide_short_help = true)]
    pub lora_scaling: Option<f64>,
    /// One lora_alpha for every rank, in place of --lora-scaling (rule rank)
    #[arg(long, value_name = "A", conflicts_with = "lora_scaling", hide_short_help = true)]
    pub lora_alpha: Option<f64>,
    /// Share of weights to prune, 0 to 1 (rule alphapruning)
    #[arg(long, value_name = "S")]
    pub sparsity: Option<f64>,
    /// Largest deviation from the model's sparsity, before scaling (rule alphapruning) [default: 0.3]
    #[arg(long, value_name = "E", hide_short_help = true)]
    pub epsilon: Option<f64>,
    /// Multipliers of the smallest and the largest alpha (rules tempbalance, alphadecay) [default: 0.5:1.5; alphadecay: 0.666:3]
    #[arg(long, value_name = "LOW:HIGH", value_parser = range, hide_short_help = true)]
    pub range: Option<(f64, f64)>,
    /// How alphas become multipliers (rule tempbalance) [default: linear]
    #[arg(long, value_enum, hide_short_help = true)]
    pub map: Option<MultiplierMap>,
    /// Allocate to layers, matrices, or roles across the layers [default: depends on the rule]
    #[arg(long, value_enum, hide_short_help = true)]
    pub group: Option<Group>,
    /// How the alphas of several matrices are combined
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
    pub aggregate: Aggregate,
    #[command(flatten)]
    pub stacks: StackArgs,
}

impl PlanArgs {
    /// The plan for this rule.
    ///
    /// # Errors
    ///
    /// If the rule does not use an option that is set.
    pub fn plan(&self, name: AllocationChoice) -> Result<AllocationPlan> {
        self.check_options(name)?;
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
                    error.hint("add --sparsity 0.7 to prune 70 % of the weights")
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
        let plan = AllocationPlan::new(rule).with_aggregate(self.aggregate).with_stacks(self.stacks.stack.clone());
        Ok(plan.with_group(self.group.unwrap_or(rule.usual_group())))
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

    /// The first allocation option on the command line, if there is any.
    pub fn first_option(&self) -> Option<&'static str> {
        let shared = [
            (self.group.is_some(), "--group"),
            (self.aggregate != Aggregate::default(), "--aggregate"),
            (!self.stacks.stack.is_empty(), "--stack"),
        ];
        let options = self.options().into_iter().map(|(is_set, option, _)| (is_set, option)).chain(shared);
        options.into_iter().find(|(is_set, _)| *is_set).map(|(_, option)| option)
    }

    /// The options of an allocation rule.
    pub fn options_of(rule: AllocationChoice) -> Vec<&'static str> {
        let options = PlanArgs::default().options().into_iter().filter(|(_, _, rules)| rules.contains(&rule));
        options.map(|(_, option, _)| option).collect()
    }

    /// Refuses options that the rule does not use: they must not be ignored silently.
    fn check_options(&self, name: AllocationChoice) -> Result<()> {
        let options = self.options();
        let unused = options.iter().find(|(is_set, _, rules)| *is_set && !rules.contains(&name));
        let Some((_, option, rules)) = unused else { return Ok(()) };
        let rules: Vec<String> = rules.iter().map(|rule| format!("--allocate {rule}")).collect();
        let cause = format!("the allocation rule {name} does not use {option}");
        Err(Error::usage(cause).hint(format!("remove it, or use {}", rules.join(" or "))))
    }

    /// Whether each option is set, its name, and the rules that use it.
    fn options(&self) -> [(bool, &'static str, &'static [AllocationChoice]); 17] {
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
