"""What more products would do: forecasts of a larger catalogue, and plans for named new products."""
