//! The macro that declares the metrics, each in one entry.

#[cfg(test)]
use prometheus_client::metrics::MetricType;
#[cfg(test)]
use prometheus_client::registry::Unit;

/// A metric as it was declared.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct DeclaredMetric {
    /// Its name, without the prefix, the unit and `_total`.
    pub name: &'static str,
    /// Its unit, which is a part of the exported name.
    pub unit: Option<Unit>,
    /// Its type.
    pub kind: MetricType,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Its meaning.
    pub help: &'static str,
}

/// Declares a struct of metrics. An entry is a field with its type and initial value, the metric's name, its
/// unit and its labels if it has any, and its help, which documents the field too:
///
/// ```text
/// pub requests: Family<RequestLabels, Counter> = Family::default(),
///     "requests" {route, status}, "HTTP requests";
/// pub upload_seconds: Histogram = seconds(),
///     "upload" in Seconds, "Time to receive an upload";
/// ```
///
/// Generates the struct with the further field `registries`, the function `register`, and for tests the list
/// `DECLARED`.
macro_rules! declare_metrics {
    (@register $registry:ident $metric:ident $name:literal $help:literal) => {
        $registry.register($name, $help, $metric.clone())
    };
    (@register $registry:ident $metric:ident $name:literal $help:literal $unit:ident) => {
        $registry.register_with_unit(
            $name,
            $help,
            ::prometheus_client::registry::Unit::$unit,
            $metric.clone(),
        )
    };
    (@unit) => {
        None
    };
    (@unit $unit:ident) => {
        Some(::prometheus_client::registry::Unit::$unit)
    };
    (
        $(#[$attribute:meta])*
        pub struct $Metrics:ident {
            $(
                $visibility:vis $field:ident: $type:ty = $new:expr,
                    $name:literal $(in $unit:ident)? $({$($label:ident),+})?, $help:literal;
            )*
        }
    ) => {
        $(#[$attribute])*
        pub struct $Metrics {
            $(
                #[doc = $help]
                $visibility $field: $type,
            )*
            /// What is exported, in this order.
            registries: ::std::sync::Arc<[::prometheus_client::registry::Registry]>,
        }

        impl $Metrics {
            /// Creates the metrics and registers them in the order of their declaration; `registries` is
            /// empty.
            fn register(registry: &mut ::prometheus_client::registry::Registry) -> Self {
                $(
                    let $field: $type = $new;
                    declare_metrics!(@register registry $field $name $help $($unit)?);
                )*
                Self {
                    $($field,)*
                    registries: ::std::sync::Arc::default(),
                }
            }

            /// Every metric, in the order of its export.
            #[cfg(test)]
            pub(super) const DECLARED: &[$crate::telemetry::declare::DeclaredMetric] = &[
                $(
                    $crate::telemetry::declare::DeclaredMetric {
                        name: $name,
                        unit: declare_metrics!(@unit $($unit)?),
                        kind: <$type as ::prometheus_client::metrics::TypedMetric>::TYPE,
                        labels: &[$($(stringify!($label)),+)?],
                        help: $help,
                    },
                )*
            ];
        }
    };
}

pub(super) use declare_metrics;
