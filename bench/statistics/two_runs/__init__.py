"""What two runs say beside one another: paired cells, their differences, and what was trained anew."""
